"""Every way that a client's queries of a task could take, and what keeps them from it.

A query on its way uses budgets that others would use as well. At the prices of the budgets (duals
of the program of the best routes for the plan's models) each way is worth its accuracy less what
its use of budgets costs others. The ways that a plan takes are those that are worth most; any other
one would be taken if its answers were right so much more often as it is worth less.

Prices are marginal: they say where one more query would go, not where all of them would.
Axis letters: c client, e edge, a attachment, t task, m model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cluster.topology import Tier
from planner.allocation import Allocation
from planner.bursts.window_routes import tangent_of
from planner.edge_cost import EdgeCost, edge_cost
from planner.explanation.budget_words import budget_place
from planner.options import EdgeForm, Options
from planner.paths import (
    carries_nt,
    cloud_open_at,
    edge_open_at,
    has_deadlines,
    link_a,
    local_open_cmt,
)
from planner.plan import Plan, PlanError, allocation_of
from planner.policies.arrangements import prepared
from planner.problem import FloatArray, Problem
from planner.programs.offloading import Tiers, route
from planner.programs.prices import Prices

__all__ = ["BudgetCost", "MarginalPrices", "OtherWay", "marginal_prices", "ways_of"]

LEAST = 1e-9


@dataclass(frozen=True)
class BudgetCost:
    """What a query's use of one budget costs others, in right answers a query."""

    label: str
    """F5, F7, F8, F9 or F11"""
    place: str
    """such as `uplink client-0 → edge-0`"""
    cost: float


@dataclass(frozen=True)
class OtherWay:
    """One way of a client's queries of a task."""

    tier: Tier
    node: str
    model: str
    via: str
    """the edge on the way to the cloud, "" on all others"""
    share: float
    """of the client's queries of the task that the plan sends here"""
    accuracy: float
    costs: tuple[BudgetCost, ...]
    closed: str
    """why it cannot be taken at all; "" where it can"""
    short_by: float
    """by how much its answers would have to be right more often for it to be taken; 0 for the ways
    that are worth most, infinite where that is not all"""

    @property
    def worth(self) -> float:
        """Right answers a query, less what its budgets cost."""
        return self.accuracy - sum(cost.cost for cost in self.costs)

    @property
    def dearest(self) -> BudgetCost | None:
        """The budget whose price keeps queries from it most; None where all are free."""
        paid = [cost for cost in self.costs if cost.cost > LEAST]
        return max(paid, key=lambda cost: cost.cost, default=None)


@dataclass(frozen=True, eq=False)
class MarginalPrices:
    """A plan, and what one more query would cost the others. Made by `marginal_prices`."""

    problem: Problem
    allocation: Allocation
    prices: Prices
    work_em: FloatArray
    """seconds that one more query of a model adds to the work of a window"""
    used_em: NDArray[np.bool_]
    edge_label: str


def marginal_prices(problem: Problem, plan: Plan) -> MarginalPrices:
    """The prices of the budgets of `problem` under `plan`, with which `ways_of` explains.

    Raises `PlanError` for a plan that names what the problem lacks, or one of tasks that are asked
    together (F14), whose ways are not each for itself.
    """
    if problem.asks_together:
        raise PlanError(
            "ways are explained for tasks that are asked alone, and this plan's are asked together"
        )
    allocation = allocation_of(problem, plan)
    options = Options(fill=plan.fill, overrun=plan.overrun)
    planned = prepared(problem, options)
    models = allocation.onloaded_cm
    if plan.overrun is not None:
        tangent = tangent_of(planned, allocation, plan.overrun, plan.fill)
        piece, cost, used_em = tangent.problem, tangent.cost, tangent.used_em
        label = "F11"
    else:
        unbatched = plan.certificate is not None and plan.policy == "j3o"
        form: EdgeForm = "unbatched" if unbatched else "batched"
        piece, used_em = planned, allocation.edge_rate_em(planned) > 0
        cost = edge_cost(planned, form)
        # A hair of room for the rounding of set-ups.
        cost = EdgeCost(cost.fixed_em * (1 - LEAST), cost.marginal_em, cost.further_em)
        label = "F6" if unbatched else "F9"
    prices = route(piece, models, used_em, cost, options, Tiers()).prices
    return MarginalPrices(planned, allocation, prices, cost.marginal_em, used_em, label)


def ways_of(found: MarginalPrices, client: str, task: str) -> tuple[OtherWay, ...]:
    """All ways of the queries of `task` at `client`, the one that is worth most first, those that
    cannot be taken last. Raises `PlanError` for a name that the problem lacks."""
    problem = found.problem
    for what, name, names in (("client", client, problem.clients), ("task", task, problem.tasks)):
        if name not in names:
            raise PlanError(f"the problem has no {what} {name!r}; it has {', '.join(names)}")
    c, t = problem.clients.index(client), problem.tasks.index(task)
    ways = [*_at_home(found, c, t), *_above(found, c, t)]
    best = max((way.worth for way in ways if not way.closed), default=0.0)
    told = [_compared(way, max(best, 0.0)) for way in ways]
    return tuple(sorted(told, key=lambda way: (bool(way.closed), -way.worth)))


def _compared(way: OtherWay, best: float) -> OtherWay:
    short = max(0.0, best - way.worth)
    if way.closed or way.accuracy + short > 1:
        short = float("inf")
    return replace(way, short_by=0.0 if short < LEAST else short)


def _at_home(found: MarginalPrices, c: int, t: int) -> Iterator[OtherWay]:
    problem, client = found.problem, found.problem.clients[c]
    price = float(found.prices.compute_c[c])
    in_time_m = local_open_cmt(problem)[c, :, t] if has_deadlines(problem) else None
    for m in np.flatnonzero(problem.accuracy_mt[:, t] > 0):
        busy_s = float(problem.client_setup_cm[c, m] + problem.client_marginal_cm[c, m])
        held = bool(found.allocation.onloaded_cm[c, m])
        closed = "" if held else _missing(problem, found.allocation, "client", c, int(m))
        if in_time_m is not None and not in_time_m[m]:
            closed = "not in time for its deadline"
        yield OtherWay(
            Tier.CLIENT, client, problem.models[m], "",
            float(found.allocation.local_ctm[c, t, m]), float(problem.accuracy_mt[m, t]),
            _costs((BudgetCost("F5", budget_place(problem, "F5", client), price * busy_s),)),
            closed, 0.0,
        )  # fmt: skip


def _above(found: MarginalPrices, c: int, t: int) -> Iterator[OtherWay]:
    """By each edge that the client reaches: the edge's models, and the cloud behind it."""
    problem, prices = found.problem, found.prices
    bytes_up = float(problem.query_bytes_t[t])
    open_at, cloud_at = edge_open_at(problem), cloud_open_at(problem)
    carries_at = carries_nt(problem, link_a(problem))
    for a in np.flatnonzero(problem.client_of_a == c):
        e = int(problem.edge_of_a[a])
        edge = problem.edges[e]
        link = BudgetCost(
            "F7", f"uplink {problem.clients[c]} → {edge}",
            float(prices.link_a(problem)[a]) * bytes_up,
        )  # fmt: skip
        shut = "" if carries_at[a, t] else "its link carries nothing"
        for m in np.flatnonzero(problem.accuracy_mt[:, t] > 0):
            closed = shut or ("" if open_at[a, t] else "not in time for its deadline")
            if not found.allocation.onloaded_em[e, m]:
                closed = _missing(problem, found.allocation, "edge", e, int(m))
            elif not found.used_em[e, m] and not closed:
                closed = "no query is sent to it, so that the first one would bring its set-up cost"
            work = float(prices.window_e[e] * problem.window_e[e] * found.work_em[e, m])
            window = BudgetCost(
                found.edge_label, budget_place(problem, found.edge_label, edge), work
            )
            yield OtherWay(
                Tier.EDGE, edge, problem.models[m], "", float(found.allocation.edge_atm[a, t, m]),
                float(problem.accuracy_mt[m, t]), _costs((link, window)), closed, 0.0,
            )  # fmt: skip
        if problem.cloud_model_t[t] < 0:
            continue
        closed = shut or ("" if cloud_at[a, t] else "not in time for its deadline")
        if not closed and not carries_nt(problem, problem.edge_uplink_e)[e, t]:
            closed = f"the link of {edge} to the cloud carries nothing"
        backhaul = BudgetCost(
            "F7", budget_place(problem, "F7", edge), float(prices.uplink_e[e]) * bytes_up
        )
        busy = BudgetCost(
            "F8", budget_place(problem, "F8", problem.cloud),
            prices.cloud * float(problem.cloud_cost_t[t]),
        )  # fmt: skip
        yield OtherWay(
            Tier.CLOUD, problem.cloud, problem.models[int(problem.cloud_model_t[t])], edge,
            float(found.allocation.cloud_at[a, t]), float(problem.cloud_accuracy_t[t]),
            _costs((link, backhaul, busy)), closed, 0.0,
        )  # fmt: skip


def _costs(costs: tuple[BudgetCost, ...]) -> tuple[BudgetCost, ...]:
    return tuple(cost for cost in costs if cost.cost > LEAST)


def _missing(problem: Problem, allocation: Allocation, kind: str, n: int, m: int) -> str:
    """What is said of a model that a node does not hold."""
    at_edge = kind == "edge"
    bytes_m = (problem.edge_model_bytes_em if at_edge else problem.client_model_bytes_cm)[n]
    held_m = (allocation.onloaded_em if at_edge else allocation.onloaded_cm)[n]
    memory = float((problem.edge_memory_e if at_edge else problem.client_memory_c)[n])
    if not np.isfinite(bytes_m[m]):
        return "its model cannot run there"
    free = memory - float(bytes_m[held_m].sum())
    if bytes_m[m] > memory:
        return f"its model takes {bytes_m[m] / 2**20:.3g} MiB, the node has {memory / 2**20:.3g}"
    return (
        f"its model is not loaded: it takes {bytes_m[m] / 2**20:.3g} MiB, "
        f"{max(free, 0.0) / 2**20:.3g} MiB are free (F4)"
    )
