"""What a change of plan costs: right answers that are lost while models are loaded (F16)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from planner.allocation import Allocation
from planner.attachments import by_edge
from planner.evaluate import right_qps
from planner.plan import Plan
from planner.problem import Problem

__all__ = ["MovingCost", "moving_cost"]


@dataclass(frozen=True)
class MovingCost:
    """What it takes to get from one plan to another."""

    loads: Mapping[str, tuple[str, ...]]
    """node -> models that it does not hold yet"""
    delay_s: float
    """until the new routes are followed: nodes load side by side, each one model after another"""
    right_answers: float
    """lost meanwhile: a node that loads is taken to answer nothing"""


def moving_cost(
    problem: Problem,
    present: Plan,
    present_allocation: Allocation,
    wanted: Plan,
    load_s: Mapping[str, Mapping[str, float]],
) -> MovingCost:
    """The cost of a change from `present` to `wanted` under the load of `problem`.

    `load_s` has the seconds that each node takes to load each model; one that is not in it takes
    none.
    """
    loads = {
        node: tuple(sorted(set(models) - set(present.onloading.get(node, ()))))
        for node, models in wanted.onloading.items()
    }
    loads = {node: models for node, models in loads.items() if models}
    spent_s = {
        node: sum(load_s.get(node, {}).get(model, 0.0) for model in models)
        for node, models in loads.items()
    }
    served_qps = _right_qps_by_node(problem, present_allocation)
    return MovingCost(
        loads=loads,
        delay_s=max(spent_s.values(), default=0.0),
        right_answers=sum(served_qps.get(node, 0.0) * s for node, s in spent_s.items()),
    )


def _right_qps_by_node(problem: Problem, allocation: Allocation) -> dict[str, float]:
    """Right answers per second that each node gives."""
    local_ct, _ = right_qps(problem, allocation)
    load_at = problem.load_ct[problem.client_of_a]
    edge_a = (load_at * np.einsum("atm,mt->at", allocation.edge_atm, problem.accuracy_mt)).sum(1)
    cloud = float((load_at * problem.cloud_accuracy_t * allocation.cloud_at).sum())
    return {
        **dict(zip(problem.clients, local_ct.sum(axis=1).tolist(), strict=True)),
        **dict(zip(problem.edges, by_edge(problem, edge_a).tolist(), strict=True)),
        problem.cloud: cloud,
    }
