"""Topologies: what is accepted, and how a fault is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.demand import Demand
from cluster.document import DocumentError
from cluster.gpus import GpuDevice
from cluster.machine import CapacityError, Machine, check_capacity
from cluster.specs import SPECS
from cluster.topology import Topology
from models.tasks import tasks_of


def demo() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((SPECS / "demo.yaml").read_text())
    return data


def refused(data: dict[str, Any]) -> str:
    with pytest.raises(DocumentError) as caught:
        Topology.parse(data, source="t.yaml")
    return str(caught.value)


def test_the_demo_topology_is_valid_and_survives_a_round_trip(tmp_path: Path) -> None:
    topology = Topology.load(SPECS / "demo.yaml")
    assert [len(tier) for tier in (topology.clients, topology.edges, topology.clouds)] == [3, 1, 1]
    for suffix in ("yaml", "json"):
        assert Topology.load(topology.save(tmp_path / f"t.{suffix}")) == topology
    assert [node.name for node in topology.reached_from("client-0")] == [
        "client-0",
        "edge-0",
        "cloud",
    ]


def test_a_changed_copy_does_not_remember_the_nodes_of_the_original() -> None:
    topology = Topology.load(SPECS / "demo.yaml")
    assert [node.window_s for node in topology.edges] == [0.4]
    nodes = tuple(node.model_copy(update={"window_s": 0.2}) for node in topology.nodes)
    assert [node.window_s for node in topology.model_copy(update={"nodes": nodes}).edges] == [0.2]


@pytest.mark.parametrize(
    ("benchmark", "file"),
    [("rooms", "demo"), ("domains", "domains"), ("streets", "streets")],
)
def test_the_demands_ask_every_task_of_what_the_topology_has(benchmark: str, file: str) -> None:
    topology = Topology.load(SPECS / "demo.yaml")
    clients = {node.name for node in topology.clients}
    phases = Demand.load(SPECS / f"{file}-demand.yaml").phases
    assert len(phases) == 2
    for phase in phases:
        assert set(phase.rates_qps) == clients
        assert {task for rates in phase.rates_qps.values() for task in rates} == set(
            tasks_of(benchmark)
        )


def test_an_unknown_key_is_named_with_its_path_and_the_nearest_valid_one() -> None:
    data = demo()
    data["nodes"][2]["memroy"] = data["nodes"][2].pop("memory")
    message = refused(data)
    assert "t.yaml: nodes.2.memroy: unknown key; did you mean memory?" in message
    assert "nodes.2.memory: missing" in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["nodes"][0].update(compute=1.5), "nodes.0.compute"),
        (lambda d: d["nodes"][0].update(memory="lots"), "nodes.0.memory"),
        (lambda d: d["nodes"][0].update(tier="fog"), "nodes.0.tier"),
        (lambda d: d["nodes"][0].update(device="gpu"), "nodes.0.device"),
        (lambda d: d["nodes"][1].update(name="client-0"), "'client-0' is used twice"),
        (lambda d: d["links"][0].update(target="egde-0"), "did you mean 'edge-0'?"),
        (lambda d: d["links"].pop(0), "client 'client-0' needs at least one link"),
        (lambda d: d["links"][0].update(target="cloud"), "goes from client to cloud; links go up"),
        (lambda d: d["links"].append(d["links"][0]), "each to its own node of tier edge, found"),
        (lambda d: d["links"].append(d["links"][3]), "'edge-0' needs exactly one link to a node"),
        (lambda d: d["nodes"].pop(), "no node is named 'cloud'"),
    ],
)
def test_a_bad_topology_is_refused_with_the_place(
    change: Callable[[dict[str, Any]], object], words: str
) -> None:
    data = demo()
    change(data)
    assert words in refused(data)


def test_a_client_may_reach_several_edges_but_has_no_one_uplink_then() -> None:
    data = demo()
    data["nodes"].append({**data["nodes"][3], "name": "edge-1"})
    data["links"].append({**data["links"][3], "source": "edge-1"})
    data["links"].append({**data["links"][0], "target": "edge-1"})
    topology = Topology.parse(data)
    assert [link.target for link in topology.uplinks("client-0")] == ["edge-0", "edge-1"]
    assert topology.uplink("client-1").target == "edge-0"
    assert [node.name for node in topology.reached_from("client-0")] == [
        "client-0", "edge-0", "edge-1", "cloud",
    ]  # fmt: skip
    with pytest.raises(KeyError, match="'client-0' has 2 uplinks, not one"):
        topology.uplink("client-0")


@pytest.mark.parametrize("text", ["nodes: [", "- a\n- b\n", ""])
def test_a_file_that_is_no_mapping_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(DocumentError) as caught:
        Topology.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(DocumentError, match=r"nowhere\.yaml: No such file"):
        Topology.load("nowhere.yaml")


def test_capacity_counts_compute_memory_and_devices() -> None:
    topology = Topology.load(SPECS / "demo.yaml")
    check_capacity(topology.nodes, Machine(cores=2, memory_bytes=2**34))
    data = demo()
    data["nodes"][3]["compute"] = 1.0
    heavier = Topology.parse(data)
    with pytest.raises(CapacityError, match="this machine has 1;"):
        check_capacity(heavier.nodes, Machine(cores=1, memory_bytes=2**34))
    with pytest.raises(CapacityError, match="MiB free"):
        check_capacity(topology.nodes, Machine(cores=2, memory_bytes=2**24))


def gpus(*free_bytes: int) -> tuple[GpuDevice, ...]:
    return tuple(GpuDevice(f"GPU-{index}", free) for index, free in enumerate(free_bytes))


def test_a_cuda_node_needs_that_device_and_its_memory() -> None:
    data = demo()
    data["nodes"][4]["device"] = "cuda:1"
    topology = Topology.parse(data)
    with pytest.raises(CapacityError, match="ask for cuda:1, but this machine has 1 CUDA"):
        check_capacity(topology.nodes, Machine(2, 2**34, gpus(2**34)))
    check_capacity(topology.nodes, Machine(2, 2**34, gpus(2**34, 2**34)))
    with pytest.raises(CapacityError, match="cuda:1 add up"):
        check_capacity(topology.nodes, Machine(2, 2**34, gpus(2**34, 2**20)))


def test_jitter_counts_in_what_is_promised_and_is_left_out_where_there_is_none() -> None:
    data = demo()
    data["links"][0]["jitter_s"] = 0.05
    topology = Topology.parse(data)
    assert topology.links[0].slowest_rtt_s == pytest.approx(0.054)
    assert topology.links[1].slowest_rtt_s == topology.links[1].rtt_s
    assert topology.as_text(".yaml").count("jitter_s") == 1
