"""What profiles of a host become on the devices that the nodes of a topology emulate."""

from __future__ import annotations

import pytest

from cluster.devices import EmulatedDevice
from cluster.errors import InputError
from cluster.specs import SPECS
from cluster.topology import Topology
from profiling.emulation import check_devices, profiles_on
from support.demo_setting import demo_setting

MEASURED = demo_setting().profiles
EMULATED = Topology.load(SPECS / "emulated.yaml")


def test_every_profile_takes_the_time_of_its_nodes_device() -> None:
    found = profiles_on(EMULATED, MEASURED)
    check_devices(EMULATED, found)
    assert found.topology == "emulated"
    assert len(found.profiles) == len(MEASURED.profiles)
    for node, times in (("client-2", 8.0), ("edge-0", 6.0), ("cloud", 6.0)):
        slow, host = (each.find(node, "rooms-small-depth") for each in (found, MEASURED))
        assert slow is not None
        assert host is not None
        assert slow.marginal_s == pytest.approx(times * host.marginal_s)
        assert slow.latency[0].p50_s == pytest.approx(times * host.latency[0].p50_s)
        assert slow.resident_bytes == host.resident_bytes


def test_budgets_of_the_emulated_hierarchy_take_less_of_the_host_than_the_demos() -> None:
    own = demo_setting().topology
    for node in EMULATED.nodes:
        assert node.compute * node.host_share <= own.node(node.name).compute


def test_profiles_of_emulated_devices_or_other_nodes_are_refused() -> None:
    with pytest.raises(InputError, match="was not profiled on a host of 'emulated'"):
        profiles_on(EMULATED, profiles_on(EMULATED, MEASURED))
    published = EmulatedDevice(emulate="dragonwing-rb3-gen2-cpu")
    nodes = tuple(node.model_copy(update={"device": published}) for node in EMULATED.nodes)
    with pytest.raises(InputError, match="for which other networks must be timed here"):
        profiles_on(EMULATED.model_copy(update={"nodes": nodes}), MEASURED)
    first = MEASURED.profiles[0].model_copy(update={"node": "client-9"})
    strange = MEASURED.model_copy(update={"profiles": (first,)})
    with pytest.raises(InputError, match="on client-9 was not profiled on a host of 'emulated'"):
        profiles_on(EMULATED, strange)
