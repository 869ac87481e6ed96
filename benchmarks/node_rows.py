"""What a node's process holds, and how many nodes this machine bears: rows K6 and K7.

K6 deploys two plans on the demo. By the first (`all-local`) the edge holds no model, by the second
the clients hold theirs, and answer traffic before they are looked at. K7 is `testbed scale`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from cluster.providers.state import ClusterState, state_path
from cluster.topology import Tier
from serving.scale.memory import ClusterMemory
from serving_rows import median_row

__all__ = ["memory_rows", "scale_rows"]

MIB = 2**20
EDGE = "edge-0"
DRIVEN_S = 10.0


class Runs(Protocol):
    """A folder in which commands run (`bench_cluster.Bench`)."""

    @property
    def state(self) -> str:
        """Its state folder."""
        ...

    def run(self, *words: str) -> tuple[float, str]:
        """Seconds that `testbed WORDS` took, and what it printed."""
        ...


def memory_rows(
    bench: Runs, runs: int, look: Callable[[ClusterState], ClusterMemory] = ClusterMemory.look
) -> list[dict[str, Any]]:
    """K6: of `runs` clusters, the edge without a model, and the client that holds most."""
    bare, with_models = [], []
    for _ in range(runs):
        bench.run("up")
        try:
            state = ClusterState.load(Path(bench.state) / state_path().name)
            bench.run("profile")
            bench.run("plan", "--policy", "all-local")
            bench.run("deploy")
            held = _models(bench)
            if held[EDGE]:
                raise RuntimeError(f"{EDGE} was to hold no model, and holds {held[EDGE]}")
            bare.append(look(state).nodes[EDGE].resident_bytes / MIB)
            bench.run("plan")
            bench.run("deploy")
            bench.run("drive", "--duration", str(DRIVEN_S))
            held = _models(bench)
            clients = [node.name for node in state.topology.nodes if node.tier is Tier.CLIENT]
            holding = [name for name in clients if held[name]]
            memory = look(state)
            most = max(memory.nodes[name].resident_bytes for name in holding)
            with_models.append(most / MIB)
        finally:
            bench.run("down")
    return [
        median_row("K6.bare", "resident memory of an edge without a model", "MiB", bare),
        median_row(
            "K6.client", "resident memory of the client that holds most", "MiB", with_models
        ),
    ]


def _models(bench: Runs) -> dict[str, list[str]]:
    told = json.loads(bench.run("status", "--json")[1])
    return {row["node"]: row["models"] for row in told["nodes"]}


def scale_rows(bench: Runs, counts: str, changes: int) -> list[dict[str, Any]]:
    """K7: the largest of these clusters of null nodes that came up and answered."""
    words = ("--nodes", counts, "--changes", str(changes), "--json")
    told = json.loads(bench.run("scale", *words)[1])
    largest = told["rows"][-1]
    distribution = {
        **median_row(
            "K7.distribution_s", "new routes in force on all of them", "s",
            [largest["distribution_s"], largest["slowest_distribution_s"]],
        ),
        "value": largest["distribution_s"], "n": largest["changes"],
    }  # fmt: skip
    rows = [
        median_row("K7.nodes", "null nodes up, every client answering", "", [largest["nodes"]]),
        distribution,
    ]
    for slope in told["slopes"]:
        if slope["figure"] == "distribution_s":
            what = "the same for each node more, by least squares"
            rows.append(median_row("K7.distribution_s.node", what, "s", [slope["each_node"]]))
    return rows
