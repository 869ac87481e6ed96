"""Emulated devices in a topology: how they are written, and what of the host they take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.document import DocumentError
from cluster.machine import CapacityError, Machine, check_capacity
from cluster.specs import SPECS
from cluster.topology import Topology


def topology_with(device: Any, **more: Any) -> Topology:
    data = yaml.safe_load((SPECS / "demo.yaml").read_text())
    edge = next(node for node in data["nodes"] if node["name"] == "edge-0")
    edge.update(device=device, **more)
    return Topology.parse(data, source="t.yaml")


@pytest.mark.parametrize(
    ("device", "host", "words"),
    [
        ({"emulate": {"slower_than_here": 4}}, "cpu", "4 times slower than here, on cpu"),
        ({"emulate": "some-board", "on": "cuda:1"}, "cuda:1", "some-board, on cuda:1"),
        ({"emulate": "some-board", "on": "none"}, "none", "some-board, on none"),
    ],
)
def test_an_emulated_device_is_read_and_written(
    device: Any, host: str, words: str, tmp_path: Path
) -> None:
    topology = topology_with(device)
    edge = topology.node("edge-0")
    assert edge.emulated == edge.device
    assert (edge.host_device, str(edge.device)) == (host, words)
    for suffix in ("yaml", "json"):
        assert Topology.load(topology.save(tmp_path / f"t.{suffix}")) == topology
    assert topology.node("cloud").emulated is None
    assert topology.node("cloud").host_device == "cpu"


def test_the_host_device_of_an_emulated_one_is_written_without_quotes(tmp_path: Path) -> None:
    shipped = (SPECS / "emulated.yaml").read_text()
    path = tmp_path / "t.yaml"
    path.write_text(shipped.replace("{slower_than_here: 6}}", "{slower_than_here: 6}, on: cuda:1}"))
    assert Topology.load(path).node("edge-0").host_device == "cuda:1"


@pytest.mark.parametrize(
    ("device", "said"),
    [
        (
            {"emulate": {"slower_than_here": 0.5}},
            "device.emulate.slower_than_here: expected a number over 1 (got 0.5)",
        ),
        ({"emulate": {"slower_than_here": True}}, "device.emulate.slower_than_here: expected no"),
        ({"emulate": {"slower": 4}}, "device.emulate.slower: unknown key; did you mean slower_th"),
        ({"slower_than_here": 4}, "device.slower_than_here: unknown key; valid keys: emulate, on"),
        ({"emulate": 4}, "device.emulate: expected a text (got 4)"),
        ({"emulate": "jetson", "on": "gpu"}, "device.on: expected cpu or cuda:0"),
        ("gpu", "device: expected cpu or cuda:0"),
        ("none", "device: expected cpu or cuda:0"),
        (
            {"emulate": {"slower_than_here": 4}, "on": "none"},
            "device: `on: none` computes nothing, so nothing can be `slower_than_here`",
        ),
    ],
)
def test_a_device_that_is_none_is_refused_with_its_path(device: Any, said: str) -> None:
    with pytest.raises(DocumentError) as refused:
        topology_with(device)
    assert f"t.yaml: nodes.3.{said}" in str(refused.value)


def test_an_emulated_device_takes_of_the_host_only_what_the_host_computes() -> None:
    emulated = {"emulate": {"slower_than_here": 4}}
    others = sum(node.compute for node in topology_with("cpu").nodes if node.name != "edge-0")
    machine = Machine(cores=others + 0.25, memory_bytes=2**34)
    check_capacity(topology_with(emulated, compute=1.0).nodes, machine)
    with pytest.raises(CapacityError, match="the compute budgets on cpu add up to"):
        check_capacity(topology_with("cpu", compute=1.0).nodes, machine)


def test_a_null_node_takes_nothing_of_the_host() -> None:
    null = {"emulate": "t4", "on": "none"}
    topology = topology_with(null, compute=1.0, memory="900GiB", threads=64)
    others = [node for node in topology.nodes if node.name != "edge-0"]
    machine = Machine(
        cores=sum(node.compute for node in others),
        memory_bytes=sum(int(node.memory) for node in others),
    )
    check_capacity(topology.nodes, machine)
    edge = topology.node("edge-0")
    assert edge.is_null
    assert not edge.on_gpu
    assert not topology.cloud.is_null
