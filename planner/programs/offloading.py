"""Offloading: the best routing for given models (F1-F9 in p, q, r), and repair to the true F9.

Axis letters: c client, e edge, a attachment, g component, t task, m model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.allocation import Allocation, tidy
from planner.attachments import group_of_edges
from planner.batches import batches_em
from planner.edge_cost import EdgeCost
from planner.evaluate import accuracy_qps_t, edge_window_f9, right_qps
from planner.fits import room
from planner.options import EdgeForm, Options
from planner.problem import FloatArray, Problem
from planner.programs.formulation import build_formulation
from planner.programs.prices import Prices
from planner.solvers import SolverLimits, solve_program

__all__ = [
    "EVERYWHERE",
    "Routing",
    "Tiers",
    "keep_both_forms",
    "route",
    "route_batched",
    "route_form",
    "value_by_group",
]

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Tiers:
    """Where queries may be served."""

    client: bool = True
    edge: bool = True
    cloud: bool = True


EVERYWHERE = Tiers()


@dataclass(frozen=True, eq=False)
class Routing:
    """Best shares for given models: the allocation, right answers/s, and the program's prices."""

    allocation: Allocation
    value_qps: float
    prices: Prices


def route(
    problem: Problem,
    onloaded_cm: BoolArray,
    onloaded_em: BoolArray,
    cost: EdgeCost,
    options: Options,
    tiers: Tiers,
) -> Routing:
    """The offloading program with the given edge row; every onloaded edge model is charged.

    Where a model fills more than an edge's largest batch, the program charges the last batch in
    part; it is then solved again with whole batches, once rounded up and once down.
    Raises `ValueError` when the fixed work of an edge's models alone exceeds its window.
    """
    models = (onloaded_cm, onloaded_em)
    found = _route_once(problem, *models, cost, options, tiers)
    if cost.further_em is None:
        return found
    queries_em = problem.window_e[:, None] * found.allocation.edge_rate_em(problem)
    up_em = np.maximum(batches_em(problem, queries_em), 1.0)
    if np.all(up_em == 1):
        return found
    down_em = np.maximum(np.floor(queries_em / problem.edge_max_batch_e[:, None]), 1.0)
    budget_e = options.fill * problem.edge_compute_e * problem.window_e
    setup_e = np.where(onloaded_em, cost.granting(up_em).fixed_em, 0.0).sum(axis=1)
    up_em = np.where((setup_e <= room(budget_e))[:, None], up_em, down_em)
    tried = [
        _route_once(problem, *models, cost.granting(granted_em), options, tiers)
        for granted_em in (up_em, down_em)
    ]
    return max(tried, key=lambda routing: routing.value_qps)


def _route_once(
    problem: Problem,
    onloaded_cm: BoolArray,
    onloaded_em: BoolArray,
    cost: EdgeCost,
    options: Options,
    tiers: Tiers,
) -> Routing:
    model = build_formulation(
        problem, fill=options.fill, edge_cost=cost, choose=False, use_cloud=tiers.cloud,
        allowed_cm=onloaded_cm & tiers.client, allowed_em=onloaded_em & tiers.edge,
    )  # fmt: skip
    limits = SolverLimits(0.0, options.time_limit_s, options.threads, options.seed)
    result = solve_program(model.program, limits, "highs")
    rows = model.program.matrix.shape[0]
    prices = model.prices(problem, result.dual_r if result.dual_r is not None else np.zeros(rows))
    if result.x_v is None:
        return Routing(Allocation.empty(problem), 0.0, prices)
    allocation = model.allocation(problem, result.x_v)
    return Routing(allocation, result.objective, prices)


def route_form(
    problem: Problem,
    onloaded_cm: BoolArray,
    onloaded_em: BoolArray,
    form: EdgeForm,
    options: Options,
    tiers: Tiers,
    order_em: FloatArray | None = None,
) -> Routing:
    """Best valid routing under F6 (`unbatched`) or the true F9 (`batched`), tidied.

    `order_em` ranks the models of each edge for the prefix scheme (largest first); by default
    they are ranked by the queries a routing without setup costs would send them.
    """
    if form == "unbatched":
        cost = EdgeCost.unbatched(problem)
        found = route(problem, onloaded_cm, onloaded_em, cost, options, tiers)
        return _tidied(problem, found, options, batched=False)
    if order_em is None:
        free = EdgeCost(np.zeros_like(problem.edge_setup_em), problem.edge_marginal_em)
        order_em = route(
            problem, onloaded_cm, onloaded_em, free, options, tiers
        ).allocation.edge_rate_em(problem)
    return route_batched(problem, onloaded_cm, onloaded_em, order_em, options, tiers)


def route_batched(
    problem: Problem,
    onloaded_cm: BoolArray,
    onloaded_em: BoolArray,
    order_em: FloatArray,
    options: Options,
    tiers: Tiers,
) -> Routing:
    """Repair to the true F9: each edge keeps its k most used models, for the best k.

    Components do not couple (F8 aside), so all edges try the same k in one program and each
    component keeps its own best; a last program with those prefixes gives the routing, unless they
    were tried together.
    """
    budget_e = options.fill * problem.edge_compute_e * problem.window_e
    limit_e = room(budget_e)
    held_em = onloaded_em & (order_em > 0) & (problem.edge_setup_em <= limit_e[:, None])
    sorted_em = np.argsort(-np.where(held_em, order_em, -1.0), axis=1, kind="stable")
    setup_em = np.take_along_axis(problem.edge_setup_em, sorted_em, axis=1)
    held_em = np.take_along_axis(held_em, sorted_em, axis=1)
    fits_em = held_em & (np.cumsum(np.where(held_em, setup_em, 0.0), axis=1) <= limit_e[:, None])
    longest_e = fits_em.sum(axis=1)
    cost = EdgeCost.batched(problem)

    def prefixes(length_e: NDArray[np.int64]) -> BoolArray:
        kept_em = np.zeros_like(onloaded_em)
        first_em = np.arange(onloaded_em.shape[1])[None, :] < length_e[:, None]
        np.put_along_axis(kept_em, sorted_em, first_em & fits_em, axis=1)
        return kept_em

    group_e = group_of_edges(problem)
    best_g = np.full(int(group_e.max()) + 1, -np.inf)
    length_e = np.zeros(len(problem.edges), dtype=np.int64)
    tried: dict[bytes, Routing] = {}
    for k in range(int(longest_e.max(initial=0)), -1, -1):
        tried_e = np.minimum(longest_e, k)
        found = route(problem, onloaded_cm, prefixes(tried_e), cost, options, tiers)
        tried[tried_e.tobytes()] = found
        value_g = value_by_group(problem, found.allocation, group_e)
        length_e = np.where((value_g > best_g)[group_e], tried_e, length_e)
        best_g = np.maximum(best_g, value_g)
    best = tried.get(length_e.tobytes())
    found = best or route(problem, onloaded_cm, prefixes(length_e), cost, options, tiers)
    if np.isfinite(problem.cloud_compute):
        # F8 couples components: what is best for each in turn need not be best for all.
        found = max([found, *tried.values()], key=lambda routing: routing.value_qps)
    return _tidied(problem, found, options, batched=True)


def keep_both_forms(problem: Problem, allocation: Allocation, options: Options) -> Allocation:
    """A plan with F6 that keeps F9 too: at an edge whose setups overfill the window (models with
    less than one query a window), the least used model goes and the rest is routed under F6."""
    onloaded_em = allocation.onloaded_em.copy()
    while True:
        usage = edge_window_f9(problem, allocation, options.fill)
        over_e = np.flatnonzero(usage.use_n > room(usage.budget_n))
        if len(over_e) == 0:
            return allocation
        rate_em = allocation.edge_rate_em(problem)
        for e in over_e:
            active = np.flatnonzero(rate_em[e] > 0)
            onloaded_em[e, active[np.argmin(rate_em[e, active])]] = False
        models = (allocation.onloaded_cm, onloaded_em)
        allocation = route_form(problem, *models, "unbatched", options, Tiers()).allocation


def _tidied(problem: Problem, found: Routing, options: Options, *, batched: bool) -> Routing:
    allocation = tidy(problem, found.allocation, fill=options.fill, batched=batched)
    value_qps = float(accuracy_qps_t(problem, allocation).sum())
    return replace(found, allocation=allocation, value_qps=value_qps)


def value_by_group(
    problem: Problem, allocation: Allocation, group_e: NDArray[np.int64]
) -> FloatArray:
    """Right answers/s of each component of edges and clients, less what its loads cost (F16)."""
    local_ct, sent_at = right_qps(problem, allocation)
    group_a = group_e[problem.edge_of_a]
    group_c = np.zeros(len(problem.clients), dtype=np.int64)
    group_c[problem.client_of_a] = group_a
    count = int(group_e.max()) + 1
    at_client_c = np.where(allocation.onloaded_cm, problem.client_moving_cm, 0.0).sum(axis=1)
    at_edge_e = np.where(allocation.onloaded_em, problem.edge_moving_em, 0.0).sum(axis=1)
    return np.asarray(
        np.bincount(group_c, weights=local_ct.sum(axis=1) - at_client_c, minlength=count)
        + np.bincount(group_a, weights=sent_at.sum(axis=1), minlength=count)
        - np.bincount(group_e, weights=at_edge_e, minlength=count)
    )
