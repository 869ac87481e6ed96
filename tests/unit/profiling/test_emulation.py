"""Profiles of emulated devices: from the host's, and refused where they are of another device."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.devices import EmulatedDevice, SlowerThanHere
from cluster.errors import InputError
from cluster.topology import Topology
from profiling.device_ratio import stated_ratio
from profiling.emulation import check_devices, check_running, emulate, emulated_profiles
from profiling.profile import ModelProfile, Profiles, digest_of
from serving.setting.setting import Setting
from support.demo_setting import demo_setting

EDGE = "edge-0"


def slower(times: float) -> EmulatedDevice:
    return EmulatedDevice(emulate=SlowerThanHere(slower_than_here=times))


def with_edge(topology: Topology, device: Any) -> Topology:
    nodes = tuple(
        node.model_copy(update={"device": device}) if node.name == EDGE else node
        for node in topology.nodes
    )
    return topology.model_copy(update={"nodes": nodes})


def emulating(topology: Topology, profiles: Profiles) -> Profiles:
    """The host's profiles, as the devices of `topology` make them."""
    found = []
    for each in profiles.profiles:
        node = topology.node(each.node)
        if node.emulated is not None:
            assert isinstance(node.emulated.emulate, SlowerThanHere)
            each = emulate(each, node, stated_ratio(node.emulated.emulate.slower_than_here))
        found.append(each)
    return with_profiles(profiles, tuple(found))


def with_profiles(profiles: Profiles, found: tuple[ModelProfile, ...]) -> Profiles:
    return Profiles(topology=profiles.topology, profiles=found, provenance=profiles.provenance)


@pytest.fixture
def setting() -> Setting:
    return demo_setting()


def of_edge(profiles: Profiles) -> ModelProfile:
    found = profiles.find(EDGE, "rooms-small-depth")
    assert found is not None
    return found


def test_a_device_four_times_slower_takes_four_times_the_hosts_median(setting: Setting) -> None:
    topology = with_edge(setting.topology, slower(4))
    host, made = of_edge(setting.profiles), of_edge(emulating(topology, setting.profiles))
    for size in (1, 3, 16, 40):  # measured, between two sizes, the largest, beyond it
        assert made.batch_s(size) == pytest.approx(4 * host.batch_s(size))
    assert made.setup_s == pytest.approx(4 * host.setup_s)
    assert made.marginal_s == pytest.approx(4 * host.marginal_s)
    assert [entry.p95_s for entry in made.latency] == [entry.p50_s for entry in made.latency]
    assert made.resident_bytes == host.resident_bytes
    assert made.emulated is not None
    assert made.emulated.host_latency == host.latency
    assert made.emulated.device == slower(4)


def test_a_curve_is_linear_between_sizes_and_goes_on_with_c_beyond_the_last(
    setting: Setting,
) -> None:
    host = of_edge(setting.profiles)
    at = {entry.batch: entry.p50_s for entry in host.latency}
    assert host.batch_s(3) == pytest.approx((at[2] + at[4]) / 2)
    assert host.batch_s(20) == pytest.approx(at[16] + 4 * host.marginal_s)


def test_profiles_of_another_device_are_refused_by_name(setting: Setting) -> None:
    topology = with_edge(setting.topology, slower(4))
    made = emulating(topology, setting.profiles)
    check_devices(topology, made)
    for wanted, profiles, said in (
        (topology, setting.profiles, "for a device of its host, but topology "),
        (setting.topology, made, "has a device of its host there; run `testbed profile` again"),
        (with_edge(topology, slower(2)), made, "for 4 times slower than here, on cpu, but topolo"),
    ):
        with pytest.raises(InputError, match=f"on {EDGE} was profiled") as refused:
            Setting(wanted, setting.cards, profiles)
        assert said in str(refused.value)


def test_a_device_that_the_host_is_too_slow_for_is_refused_by_name(setting: Setting) -> None:
    topology = with_edge(setting.topology, slower(4))
    made = emulating(topology, setting.profiles)
    profile = of_edge(made)
    fast = profile.model_copy(
        update={
            "latency": tuple(
                entry.model_copy(update={"p50_s": entry.p50_s / 8}) if entry.batch == 4 else entry
                for entry in profile.latency
            )
        }
    )
    others = tuple(each for each in made.profiles if each is not profile)
    with pytest.raises(InputError) as refused:
        check_devices(topology, with_profiles(made, (*others, fast)))
    said = str(refused.value)
    assert said.startswith(f"{EDGE} cannot emulate 4 times slower than here, on cpu: for ")
    assert "rooms-small-depth in batches of 4 it takes 7 ms, this host 14 ms" in said
    assert "\n" not in said


def test_nodes_that_emulate_need_profiles(setting: Setting) -> None:
    topology = with_edge(setting.topology, slower(4))
    made = emulating(topology, setting.profiles)
    found = emulated_profiles(topology, made)
    assert set(found) == {EDGE}
    assert set(found[EDGE]) == {card.name for card in setting.cards}
    assert emulated_profiles(setting.topology, None) == {}
    for none in (None, with_profiles(made, ())):
        with pytest.raises(InputError, match=f"{EDGE} emulates .* has no profiles of it"):
            emulated_profiles(topology, none)


def test_nodes_that_run_by_other_profiles_are_refused(setting: Setting) -> None:
    topology = with_edge(setting.topology, slower(4))
    made = emulating(topology, setting.profiles)
    running = {node.name: "" for node in topology.nodes}
    running[EDGE] = digest_of(emulated_profiles(topology, made)[EDGE].values())
    check_running(topology, made, running)
    anew = with_profiles(
        made, tuple(each.model_copy(update={"load_s": 9.0}) for each in made.profiles)
    )
    with pytest.raises(InputError, match=f"{EDGE} emulates .* by other profiles than these"):
        check_running(topology, anew, running)


@pytest.mark.parametrize("kept", [slice(1, None), slice(None, -1), slice(None, None, -1)])
def test_a_profile_whose_host_was_timed_for_other_batches_is_refused(
    setting: Setting, kept: slice
) -> None:
    topology = with_edge(setting.topology, slower(4.0))
    profiles = emulating(topology, setting.profiles)
    data = profiles.model_dump(mode="json")
    for each in data["profiles"]:
        if each["node"] == EDGE:
            each["emulated"]["host_latency"] = each["emulated"]["host_latency"][kept]
    with pytest.raises(InputError, match=r"emulated\.host_latency: expected the batch sizes of"):
        check_devices(topology, Profiles.parse(data, "profiles.json"))


def test_a_profile_whose_batch_sizes_do_not_rise_is_refused(setting: Setting) -> None:
    data = of_edge(setting.profiles).model_dump(mode="json")
    data["latency"] = data["latency"][::-1]
    with pytest.raises(ValueError, match="expected batch sizes that rise"):
        ModelProfile.model_validate(data)
