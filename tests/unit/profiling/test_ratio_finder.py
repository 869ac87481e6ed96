"""Which published networks are timed on a host, and which devices it cannot emulate."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.devices import EmulatedDevice, SlowerThanHere
from cluster.errors import InputError
from cluster.specs import SPECS
from cluster.topology import Node, Topology
from models.zoo.registry import find_model
from profiling.published import NetworkLatency, find_device
from profiling.ratio_finder import RatioFinder

CARD = find_model("rooms-small-depth")


def node(emulate: Any, max_batch: int = 8) -> Node:
    edge = Topology.load(SPECS / "demo.yaml").node("edge-0")
    device = EmulatedDevice(emulate=emulate)
    return edge.model_copy(update={"device": device, "max_batch": max_batch})


class Host:
    """Takes `share` of the published time for every row, and remembers what it timed."""

    def __init__(self, share: float = 0.25, network_class: str = "depthwise") -> None:
        self.share = share
        self.network_class = network_class
        self.timed: list[NetworkLatency] = []

    def latency_s(self, row: NetworkLatency) -> float:
        self.timed.append(row)
        return self.share * row.latency_s

    def finder(self, *nodes: Node) -> RatioFinder:
        return RatioFinder(nodes, lambda card: self.network_class, self.latency_s)


def test_a_stated_ratio_needs_nothing_timed() -> None:
    host, slower = Host(), node(SlowerThanHere(slower_than_here=3))
    assert host.finder(slower).find(slower, CARD).at(5) == 3.0
    assert host.timed == []


def test_the_networks_of_a_class_are_timed_once() -> None:
    host, board = Host(), node("dragonwing-rb3-gen2-cpu")
    finder = host.finder(board)
    for _ in range(2):
        ratio = finder.find(board, CARD)
        assert ratio.at(1) == pytest.approx(4.0)
        assert ratio.error == pytest.approx(0.0)
    assert tuple(host.timed) == find_device("dragonwing-rb3-gen2-cpu").classes["depthwise"]


def test_batches_that_no_node_runs_are_not_timed() -> None:
    host, server = Host(network_class="convolution"), node("t4", max_batch=4)
    ratio = host.finder(server).find(server, CARD)
    assert sorted({row.batch for row in host.timed}) == [1, 2, 4]
    assert ratio.at(32) == pytest.approx(4.0)


def test_a_device_faster_than_the_host_is_refused_by_name_before_large_batches_are_timed() -> None:
    host, server = Host(share=10.0, network_class="convolution"), node("t4", max_batch=32)
    with pytest.raises(InputError) as refused:
        host.finder(server).find(server, CARD)
    assert str(refused.value) == (
        "edge-0 cannot emulate t4: for convolution networks in batches of 1 it takes 0.1 of this "
        "host's time; name a slower device, or run it on a faster host"
    )
    assert {row.batch for row in host.timed} == {1}


def test_a_model_of_a_class_without_published_times_is_refused_by_name() -> None:
    host, server = Host(), node("t4")
    with pytest.raises(InputError, match="edge-0 cannot emulate t4: rooms-small-depth is of class"):
        host.finder(server).find(server, CARD)
    assert host.timed == []
