"""What a change of plan costs: right answers that are lost while models are loaded (F16).

Axis letters: c client, e edge, a attachment, m model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from planner.allocation import Allocation
from planner.problem import Problem
from serving.replan.plan_alternative import PlanAlternative

__all__ = ["MovingCost", "moving_cost", "without_models"]


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
    present: PlanAlternative,
    wanted: PlanAlternative,
    load_s: Mapping[str, Mapping[str, float]],
    right_qps: Callable[[Allocation], float],
) -> MovingCost:
    """The cost of a change from `present` to `wanted`.

    `load_s` has the seconds that each node takes to load each model; one that is not in it takes
    none. `right_qps` says how many right answers a second an allocation gives meanwhile.
    """
    held = present.plan.onloading
    loads = {
        node: tuple(sorted(set(models) - set(held.get(node, ()))))
        for node, models in wanted.plan.onloading.items()
    }
    loads = {node: models for node, models in loads.items() if models}
    spent_s = {
        node: sum(load_s.get(node, {}).get(model, 0.0) for model in models)
        for node, models in loads.items()
    }
    now = present.allocation
    whole_qps = right_qps(now) if spent_s else 0.0
    lost = [
        (whole_qps - right_qps(without_models(problem, now, node))) * node_s
        for node, node_s in spent_s.items()
    ]
    return MovingCost(loads, max(spent_s.values(), default=0.0), sum(max(each, 0.0) for each in lost))


def without_models(problem: Problem, allocation: Allocation, node: str) -> Allocation:
    """`allocation` with nothing on `node`, and no route to it; the cloud keeps its models."""
    if node in problem.clients:
        c = problem.clients.index(node)
        onloaded_cm, local_ctm = allocation.onloaded_cm.copy(), allocation.local_ctm.copy()
        onloaded_cm[c], local_ctm[c] = False, 0.0
        return replace(allocation, onloaded_cm=onloaded_cm, local_ctm=local_ctm)
    if node in problem.edges:
        e = problem.edges.index(node)
        onloaded_em, edge_atm = allocation.onloaded_em.copy(), allocation.edge_atm.copy()
        onloaded_em[e], edge_atm[problem.edge_of_a == e] = False, 0.0
        return replace(allocation, onloaded_em=onloaded_em, edge_atm=edge_atm)
    return allocation
