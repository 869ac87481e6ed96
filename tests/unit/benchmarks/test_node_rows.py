"""Rows K6 and K7: from what verbs say and processes hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster.providers.state import ClusterState
from cluster.specs import SPECS
from cluster.topology import Topology
from node_rows import memory_rows, scale_rows
from serving.scale.memory import ClusterMemory, ProcessMemory
from serving.scale.result import slopes_of
from support.scale_rows import row_of

MIB = 2**20
NODES = ("client-0", "client-1", "client-2", "edge-0", "cloud")


class Bench:
    """Notes what is run; nodes hold models once a plan other than `all-local` is deployed."""

    def __init__(self, folder: Path, *, edge_holds: bool = False) -> None:
        self.state = str(folder)
        self.said: list[str] = []
        self._edge_holds = edge_holds
        ClusterState(
            topology=Topology.load(SPECS / "demo.yaml"), address="127.0.0.1:1", temp_dir="/tmp/x",
            started_at="2026-01-01T00:00:00+00:00", link_token="t", mark="m",
        ).save(folder / "cluster.json")  # fmt: skip

    def run(self, *words: str) -> tuple[float, str]:
        self.said.append(" ".join(words))
        bare = self.said[-2:-1] == ["deploy"] and "plan --policy all-local" in self.said[-3:]
        held = {name: ["m"] for name in NODES}
        held["client-2"] = []
        if bare and not self._edge_holds:
            held["edge-0"] = []
        told = {"nodes": [{"node": name, "models": models} for name, models in held.items()]}
        if words[0] == "scale":
            rows = [row_of(4), row_of(8), row_of(16)]
            told = {
                "rows": [row.model_dump(mode="json") for row in rows],
                "slopes": [slope.model_dump(mode="json") for slope in slopes_of(rows)],
            }
        return 1.0, json.dumps(told)


def look(_: ClusterState) -> ClusterMemory:
    sizes = {"client-0": 700, "client-1": 720, "client-2": 990, "edge-0": 250, "cloud": 800}
    held = {name: ProcessMemory(size * MIB, size * MIB) for name, size in sizes.items()}
    return ClusterMemory(held, ProcessMemory(0, 0))


def test_memory_is_of_an_edge_without_a_model_and_of_the_client_that_holds_most(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    rows = {row["id"]: row for row in memory_rows(bench, 2, look)}
    assert rows["K6.bare"]["value"] == 250
    assert rows["K6.client"]["value"] == 720  # client-2 holds no model
    assert rows["K6.client"]["n"] == 2
    assert bench.said.count("up") == bench.said.count("down") == 2


def test_an_edge_that_holds_a_model_is_no_bare_node(tmp_path: Path) -> None:
    bench = Bench(tmp_path, edge_holds=True)
    with pytest.raises(RuntimeError, match="edge-0 was to hold no model"):
        memory_rows(bench, 1, look)
    assert bench.said[-1] == "down"


def test_the_largest_cluster_counts(tmp_path: Path) -> None:
    rows = {row["id"]: row for row in scale_rows(Bench(tmp_path), "4,8,16", 5)}
    assert rows["K7.nodes"]["value"] == 16
    assert rows["K7.distribution_s"]["value"] == pytest.approx(0.16)
    assert rows["K7.distribution_s"]["spread"] == pytest.approx([0.16, 0.32])
    assert rows["K7.distribution_s"]["n"] == 5
    assert rows["K7.distribution_s.node"]["value"] == pytest.approx(0.01)
