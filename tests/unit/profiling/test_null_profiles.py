"""Profiles of null nodes: published times, a card's parameters, and nothing of this host."""

from __future__ import annotations

import pytest

from cluster.document import DocumentError
from cluster.errors import InputError
from cluster.topology import Tier
from profiling.emulation import check_devices
from profiling.null_profiles import refuse_null_nodes
from profiling.profile import Profiles
from profiling.published import find_device
from serving.scale.null_cluster import DEVICES, make_null_cluster
from support.demo_setting import demo_setting


@pytest.fixture
def profiles() -> Profiles:
    return make_null_cluster(4, "test").setting.profiles


def test_a_batch_takes_the_mean_of_the_published_networks(profiles: Profiles) -> None:
    rows = find_device(DEVICES[Tier.CLOUD]).classes["convolution"]
    of_four = [row.latency_s for row in rows if row.batch == 4]
    product = 1.0
    for latency_s in of_four:
        product *= latency_s
    profile = profiles.find("cloud", "rooms-small-depth")
    assert profile is not None
    assert profile.batch_s(4) == pytest.approx(product ** (1 / len(of_four)))
    assert 0 < profile.setup_s < profile.batch_s(1)
    assert profile.load_s == 0.0


def test_without_published_batches_each_picture_takes_as_long_as_one(profiles: Profiles) -> None:
    profile = profiles.find("client-0", "rooms-small-depth")
    assert profile is not None
    assert profile.batch_s(2) == pytest.approx(2 * profile.batch_s(1))


def test_a_model_holds_its_parameters_in_float32(profiles: Profiles) -> None:
    for card in make_null_cluster(4, "test").setting.cards:
        profile = profiles.find("edge-0", card.name)
        assert profile is not None
        assert profile.resident_bytes == 4 * card.parameters


def test_a_null_node_is_not_profiled() -> None:
    refuse_null_nodes(demo_setting().topology)
    with pytest.raises(InputError, match=r"client-0 computes nothing \(`on: none`\)"):
        refuse_null_nodes(make_null_cluster(4, "test").topology)


def test_they_are_of_no_device_that_computes(profiles: Profiles) -> None:
    topology = make_null_cluster(4, "test").topology
    check_devices(topology, profiles)
    assert topology.cloud.emulated is not None
    device = topology.cloud.emulated.model_copy(update={"on": "cpu"})
    cloud = topology.cloud.model_copy(update={"device": device})
    computing = topology.model_copy(update={"nodes": (*topology.nodes[:-1], cloud)})
    with pytest.raises(InputError, match="on cloud was profiled for a100-40gb, on none"):
        check_devices(computing, profiles)


def test_only_a_null_device_has_no_times_of_its_host(profiles: Profiles) -> None:
    data = profiles.model_dump(mode="json")
    assert Profiles.parse(data) == profiles
    data["profiles"][0]["emulated"]["device"]["on"] = "cpu"
    with pytest.raises(DocumentError, match="host_latency: expected entries, unless the device is"):
        Profiles.parse(data)
