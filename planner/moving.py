"""F16: what loading a model costs, inside the plan.

A plan that is better by 0.01 of accuracy is worth 0.01 x H over the next H seconds. If it must load
two models first, and each load costs 0.2 (say a tenth of 0.8 right answers a query is lost for 2.5
seconds), it loses 0.4: it pays after 40 seconds. So the planner maximises

    H F1 - sum_nm move_nm (1 - held_nm) y_nm,

here divided by H and times the load, so that all is in right answers/s: each model that a node does
not hold yet costs load x move_nm / H. Staying put is a plan like any other.

Axis letters: c client, e edge, m model, n node.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.attachments import by_edge
from planner.plan import Plan, allocation_of
from planner.problem import Problem

__all__ = ["Moving", "charged"]


@dataclass(frozen=True)
class Moving:
    """What nodes hold, what a load costs, and for how long the next plan will be in force.

    Example: `Moving(held=plan.onloading, cost_s=0.2, horizon_s=30)`. Raises `ValueError` for a
    horizon that is not above 0 or a cost below 0.
    """

    held: Mapping[str, Collection[str]]
    """node -> models, as `Plan.onloading`; nodes left out hold nothing"""
    cost_s: float | Mapping[str, Mapping[str, float]]
    """move_nm, accuracy (F1) x seconds that are lost by one load: one number for every load, or
    node -> model -> number. inf forbids the load."""
    horizon_s: float
    """H, seconds over which the gain counts"""

    def __post_init__(self) -> None:
        if not self.horizon_s > 0:
            raise ValueError(f"moving: horizon_s must be greater than 0, got {self.horizon_s}")
        if isinstance(self.cost_s, Mapping):
            given = [
                (f"{n}.{m}", cost) for n, row in self.cost_s.items() for m, cost in row.items()
            ]
        else:
            given = [("every load", self.cost_s)]
        for where, cost in given:
            if not cost >= 0:
                raise ValueError(f"moving: cost_s of {where} must be at least 0, got {cost}")

    @property
    def plan(self) -> Plan:
        """What is held, as a plan without routes: where a search may start."""
        held = {node: tuple(models) for node, models in self.held.items()}
        return Plan(problem_digest="", policy="held", onloading=held, routes=())

    @property
    def free(self) -> bool:
        """Whether no load costs anything."""
        if isinstance(self.cost_s, Mapping):
            return not any(cost for row in self.cost_s.values() for cost in row.values())
        return self.cost_s == 0


def charged(problem: Problem, moving: Moving) -> Problem:
    """`problem` with the price of every load in `client_moving_cm` and `edge_moving_em`.

    A load that costs more than all its node's queries can earn is forbidden, which is the same and
    keeps the numbers small. Raises `PlanError` for a node or model that the problem does not know,
    and `ValueError` where `moving` names costs, but none for a model that is not held.
    """
    held = allocation_of(problem, moving.plan)
    load_c = problem.load_ct.sum(axis=1)
    load_e = by_edge(problem, load_c[problem.client_of_a])
    changes: dict[str, Any] = {}
    for kind, names, held_nm, earned_n in (
        ("client_{}_cm", problem.clients, held.onloaded_cm, load_c),
        ("edge_{}_em", problem.edges, held.onloaded_em, load_e),
    ):
        bytes_nm = getattr(problem, kind.format("model_bytes"))
        price_nm = np.zeros(held_nm.shape)
        for n, m in zip(*np.nonzero(~held_nm & np.isfinite(bytes_nm)), strict=True):
            price_nm[n, m] = _cost(moving, names[n], problem.models[m]) / moving.horizon_s
        price_nm *= max(problem.total_load_qps, 1e-300)
        never_nm = price_nm > earned_n[:, None]
        changes[kind.format("model_bytes")] = np.where(never_nm, np.inf, bytes_nm)
        changes[kind.format("moving")] = np.where(never_nm, 0.0, price_nm)
    return problem.changed(**changes)


def _cost(moving: Moving, node: str, model: str) -> float:
    if not isinstance(moving.cost_s, Mapping):
        return moving.cost_s
    cost = moving.cost_s.get(node, {}).get(model, math.nan)
    if math.isnan(cost):
        raise ValueError(f"moving: cost_s says nothing of {model!r} on {node!r}, which it may load")
    return cost
