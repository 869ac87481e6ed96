"""The profile of an emulated device, from that of the host which emulates it.

The host computes the answers and hands them over when the device would have had them, so it must be
the faster of the two for every model and batch size that the node runs.
"""

from __future__ import annotations

from collections.abc import Mapping

from cluster.devices import SlowerThanHere
from cluster.errors import InputError
from cluster.topology import Node, Topology
from profiling.device_ratio import DeviceRatio, stated_ratio
from profiling.fit import with_latency
from profiling.profile import BatchLatency, Emulation, ModelProfile, Profiles, digest_of

__all__ = ["check_devices", "check_running", "emulate", "emulated_profiles", "profiles_on"]

OWN = "a device of its host"


def emulate(measured: ModelProfile, node: Node, ratio: DeviceRatio) -> ModelProfile:
    """What `measured`, the profile of the host, becomes on the device that `node` emulates, which
    takes `ratio` times as long.

    The times of an emulated device do not spread: each is the median. Memory and loading stay the
    host's. Raises `InputError` if the host is the slower one.
    """
    assert node.emulated is not None
    latency = tuple(_scaled(entry, ratio.at(entry.batch)) for entry in measured.latency)
    emulated = Emulation(
        device=node.emulated,
        host_latency=measured.latency,
        source=ratio.source,
        error=ratio.error,
    )
    profile = with_latency(measured, latency).model_copy(update={"emulated": emulated})
    return _refuse_slow_host(profile, node)


def profiles_on(topology: Topology, measured: Profiles) -> Profiles:
    """What `measured`, of nodes with devices of their hosts, becomes on the devices that the nodes
    of `topology` emulate by a stated factor; both have the same nodes.

    Raises `InputError` where a profile is of another node or of an emulated device, a device is a
    published one (for which other networks must be timed here), or the host is the slower one.
    """
    nodes = {node.name: node for node in topology.nodes}
    found = []
    for profile in measured.profiles:
        if profile.node not in nodes or profile.emulated is not None:
            raise InputError(
                f"{profile.model} on {profile.node} was not profiled on a host of "
                f"{topology.name!r}, so nothing follows for the devices that it emulates"
            )
        device = nodes[profile.node].emulated
        if device is None:
            found.append(profile)
            continue
        if not isinstance(device.emulate, SlowerThanHere):
            raise InputError(
                f"{profile.node} emulates {device}, for which other networks must be timed here; "
                "run `testbed profile`"
            )
        ratio = stated_ratio(device.emulate.slower_than_here)
        found.append(emulate(profile, nodes[profile.node], ratio))
    return measured.model_copy(update={"topology": topology.name, "profiles": tuple(found)})


def check_devices(topology: Topology, profiles: Profiles) -> None:
    """Raise `InputError` unless every profile is of the device that its node has or emulates."""
    emulating = {node.name: node for node in topology.nodes if node.emulated}
    for profile in profiles.profiles:
        node = emulating.get(profile.node)
        profiled = profile.emulated.device if profile.emulated else None
        wanted = node.emulated if node else None
        if profiled != wanted:
            raise InputError(
                f"{profile.model} on {profile.node} was profiled for {profiled or OWN}, "
                f"but topology {topology.name!r} has {wanted or OWN} there; run `testbed profile` "
                "again, or name other files with --profiles and --topology"
            )
        if node is not None:
            _refuse_slow_host(profile, node)


def emulated_profiles(
    topology: Topology, profiles: Profiles | None
) -> dict[str, dict[str, ModelProfile]]:
    """By node that emulates a device, its profiles by model. Raises `InputError` for a node that
    has none, and where `check_devices` does."""
    found: dict[str, dict[str, ModelProfile]] = {
        node.name: {} for node in topology.nodes if node.emulated
    }
    if profiles is not None:
        check_devices(topology, profiles)
    for profile in profiles.profiles if profiles else ():
        if profile.node in found:
            found[profile.node][profile.model] = profile
    for name, models in found.items():
        if not models:
            raise InputError(
                f"{name} emulates {topology.node(name).device}, and has no profiles of it; "
                "run `testbed profile`"
            )
    return found


def check_running(topology: Topology, profiles: Profiles, running: Mapping[str, str]) -> None:
    """Raise `InputError` unless the nodes that run emulate devices by these profiles. `running` is
    by node the digest of those by which it does (`digest_of`); others are not looked at."""
    for name, models in emulated_profiles(topology, profiles).items():
        if name in running and running[name] != digest_of(models.values()):
            raise InputError(
                f"{name} emulates {topology.node(name).device} by other profiles than these; name "
                "those that it was started with, or run `testbed down` and `testbed up`"
            )


def _scaled(host: BatchLatency, times: float) -> BatchLatency:
    """The time of an emulated device is its median, every time."""
    median_s = times * host.p50_s
    return BatchLatency(batch=host.batch, p50_s=median_s, p95_s=median_s, runs=host.runs)


def _refuse_slow_host(profile: ModelProfile, node: Node) -> ModelProfile:
    assert profile.emulated is not None
    if node.is_null:
        return profile
    for device, host in zip(profile.latency, profile.emulated.host_latency, strict=True):
        if device.batch <= node.max_batch and device.p50_s < host.p50_s:
            raise InputError(
                f"{node.name} cannot emulate {node.device}: for {profile.model} in batches of "
                f"{device.batch} it takes {device.p50_s * 1e3:.3g} ms, this host "
                f"{host.p50_s * 1e3:.3g} ms; name a slower device, or run it on a faster host"
            )
    return profile
