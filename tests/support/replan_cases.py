"""Loads and plans for the live loop's tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from planner.plan import Plan
from planner.policies import Options, solve
from planner.problem import Problem
from serving.node.snapshot import NodeSnapshot
from serving.replan.decision_input import DecisionInput, DecisionOptions, Ground
from serving.replan.estimate.load_estimate import LoadEstimate

__all__ = [
    "estimate", "given", "ground", "plan_for", "poisson_looks", "problem", "setting", "snapshot",
]  # fmt: skip

TASKS = ("depth", "edges")


def snapshot(node: str, taken_s: float, version: int = 1, **arrived: int) -> NodeSnapshot:
    return NodeSnapshot(node, taken_s, 0.0, 0, 0, (), version, arrived, {}, {}, {})


def problem(depth_qps: float, edges_qps: float, *, link_qps: float = 1.0) -> Problem:
    """One client that holds one of two models, each good at one task; an edge with neither."""
    one = np.ones
    return Problem(
        clients=("c",), edges=("e",), cloud="o", tasks=TASKS, models=("d", "x"),
        edge_of_a=np.array([0]),
        load_ct=np.array([[depth_qps, edges_qps]]),
        accuracy_mt=np.array([[0.9, 0.0], [0.0, 0.8]]),
        client_memory_c=one(1), edge_memory_e=0.5 * one(1),
        client_model_bytes_cm=one((1, 2)), edge_model_bytes_em=one((1, 2)),
        client_compute_c=one(1), edge_compute_e=one(1), window_e=one(1),
        client_setup_cm=0.001 * one((1, 2)), client_marginal_cm=0.001 * one((1, 2)),
        edge_setup_em=0.001 * one((1, 2)), edge_marginal_em=0.001 * one((1, 2)),
        cloud_accuracy_t=np.zeros(2), cloud_model_t=np.array([-1, -1]), cloud_cost_t=np.zeros(2),
        query_bytes_t=one(2), answer_bytes_t=one(2),
        client_uplink_c=link_qps * one(1), edge_uplink_e=link_qps * one(1), cloud_compute=1.0,
    )  # fmt: skip


def plan_for(stated: Problem) -> Plan:
    return solve(stated, "certified", Options()).plan


def ground(load_s: float = 0.1, *, edge_memory: float = 0.5) -> Ground:
    stated = replace(problem(0.0, 0.0), edge_memory_e=np.array([edge_memory]))
    costs = {node: {"d": load_s, "x": load_s} for node in ("c", "e", "o")}
    return Ground(stated, stated, costs, spill_over=False)


def setting() -> Any:
    """What the loop needs of a `Setting`, for `problem`."""
    client, edge = SimpleNamespace(name="c"), SimpleNamespace(name="e", window_s=0.4)
    return SimpleNamespace(
        tasks=TASKS,
        topology=SimpleNamespace(clients=[client], edges=[edge], links=()),
        profiles=SimpleNamespace(find=lambda node, model: None),
    )


def estimate(
    depth_qps: float,
    edges_qps: float,
    *,
    seconds: float = 60.0,
    dispersion: float = 1.0,
    former_qps: float = 0.0,
    changes: int = 0,
    stay_s: float = 600.0,
    now_qps: float | None = None,
) -> LoadEstimate:
    """What is known of client `c` after so many seconds."""
    volume = depth_qps + edges_qps
    return LoadEstimate(
        rates_qps={"c": {"depth": depth_qps, "edges": edges_qps}},
        mix_errors_qps={
            "c": {"depth": (depth_qps / seconds) ** 0.5, "edges": (edges_qps / seconds) ** 0.5}
        },
        volume_errors_qps={"c": (dispersion * volume / seconds) ** 0.5},
        dispersion={"c": dispersion},
        short_qps={"c": volume if now_qps is None else now_qps},
        former_qps={"c": former_qps} if former_qps > volume else {},
        look_s=1.0,
        seen_s=seconds,
        changes=changes,
        stay_s=stay_s,
    )


def given(seen: LoadEstimate, present: Plan, **changes: Any) -> DecisionInput:
    """The input of a decision."""
    values: dict[str, Any] = {
        "number": 1, "at_s": 10.0, "estimate": seen, "absent": (), "present": present,
        "options": DecisionOptions(),
    }  # fmt: skip
    return DecisionInput(**{**values, **changes})


def poisson_looks(
    seed: int, rates_qps: Mapping[str, Iterable[float]], looks: int
) -> list[dict[str, int]]:
    """New queries by task at each look of a second; a task's rates are repeated to the end."""
    random = np.random.default_rng(seed)
    series = {task: np.resize(np.array(list(rates)), looks) for task, rates in rates_qps.items()}
    return [
        {task: int(random.poisson(rate[look])) for task, rate in series.items()}
        for look in range(looks)
    ]
