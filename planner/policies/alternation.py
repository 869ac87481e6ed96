"""The alternation of J3O and BAJ3O: onload at fixed prices, route with fixed models, repeat.

Axis letters: c client, e edge, a attachment, t task, m model. Prices are the duals of the
offloading program: they tell a client what its query would earn at the edge or in the cloud (its
outside option) and each node what a second of compute is worth.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from planner.allocation import Allocation
from planner.attachments import best_by_client, best_of_others, by_edge
from planner.edge_cost import EdgeCost
from planner.fits import room
from planner.onloading import greedy_cover, greedy_cover_nodes
from planner.options import EdgeForm, Options
from planner.paths import (
    cloud_open_at,
    edge_limit_at,
    edge_open_at,
    has_deadlines,
    local_open_cmt,
)
from planner.problem import FloatArray, Problem
from planner.programs.bound import Relaxation
from planner.programs.offloading import Routing, Tiers, route, route_batched, route_form
from planner.programs.prices import Prices

__all__ = [
    "AlternationResult",
    "Start",
    "alternate",
    "expected_queries_em",
    "pack",
    "starting_points",
]

BoolArray = NDArray[np.bool_]
EPSILON_QUERIES = 1.0
"""epsilon of the logarithmic surrogate, queries per window."""
DAMPING = 0.3
SMALLEST_GAIN = 1e-9


@dataclass(frozen=True, eq=False)
class Start:
    """A starting point: prices, and optionally models to route before the first onloading."""

    name: str
    prices: Prices
    models: tuple[BoolArray, BoolArray] | None = None


@dataclass(frozen=True, eq=False)
class AlternationResult:
    """Best iterate over all starting points; `trace` is the best value so far (answers/s)."""

    allocation: Allocation
    value_qps: float
    trace: tuple[float, ...]
    iterations: int
    values_by_start: dict[str, tuple[float, ...]]
    """Value of every iterate, kept or not, by starting point."""
    used: tuple[BoolArray, BoolArray]
    """Models that any iterate used, at clients (c x m) and edges (e x m)."""


def starting_points(
    problem: Problem,
    form: EdgeForm,
    tiers: Tiers,
    relaxation: Relaxation | None,
    warm: Allocation | None,
) -> Iterator[Start]:
    """Local first, remote first, and (where known) a previous plan and the relaxation's prices.

    Local first, clients hold what they would without edges and cloud. Remote first, they hold only
    what beats any answer from elsewhere, free of charge. Each is made when it is asked for: the
    first one often leads to a plan that is good enough.
    """
    zero = Prices.zero(problem)
    if relaxation is not None:
        yield Start("relaxation", relaxation.prices, _rounded(problem, relaxation))
    if warm is not None:
        yield Start("previous plan", zero, (warm.onloaded_cm, warm.onloaded_em))
    if tiers.client:
        alone = onload(problem, zero, form, replace(tiers, cloud=False))
        yield Start("local first", zero, alone)
    if tiers.edge or tiers.cloud:
        remote = Prices.zero(problem)
        if tiers.edge:
            remote.service_et[:] = problem.accuracy_mt.max(axis=0)
        yield Start("remote first", remote)


def alternate(
    problem: Problem,
    options: Options,
    form: EdgeForm,
    tiers: Tiers,
    starts: Iterable[Start],
    *,
    surrogate: bool = False,
    target_qps: float = np.inf,
) -> AlternationResult:
    """Run the alternation from every start; keep the best valid iterate.

    With `surrogate` (BAJ3O as in the paper) the edge row is F9 through the Taylor surrogate,
    re-linearised around each iterate, and every iterate is repaired against the true F9. Stops
    at `target_qps`, the value from which a bound proves the plan good enough.
    """
    deadline = time.perf_counter() + options.time_limit_s
    best = Routing(Allocation.empty(problem), 0.0, Prices.zero(problem))
    trace: list[float] = []
    values: dict[str, tuple[float, ...]] = {}
    count, finished = 0, False
    used_cm, used_em = best.allocation.onloaded_cm.copy(), best.allocation.onloaded_em.copy()
    for start in starts:
        run: list[float] = []
        queries_em = expected_queries_em(problem)
        prices, models, stale = start.prices, start.models, 0
        for _ in range(options.iterations):
            if models is None:
                models = onload(problem, prices, form, tiers)
            if surrogate:
                cost = EdgeCost.surrogate(problem, queries_em, EPSILON_QUERIES)
                linear = route(problem, *models, cost, options, tiers)
                rate_em = linear.allocation.edge_rate_em(problem)
                queries_em = problem.window_e[:, None] * rate_em
                found = route_batched(problem, *models, rate_em, options, tiers)
            else:
                found = route_form(problem, *models, form, options, tiers)
                linear = found
            count += 1
            used_cm |= found.allocation.onloaded_cm
            used_em |= found.allocation.onloaded_em
            run.append(found.value_qps)
            stale = 0 if found.value_qps > max(run[:-1], default=-1.0) * (1 + 1e-6) else stale + 1
            if found.value_qps > best.value_qps + SMALLEST_GAIN:
                best = found
            trace.append(best.value_qps)
            prices = _blend(prices, linear.prices, DAMPING if len(run) > 1 else 1.0)
            models = None
            finished = best.value_qps >= target_qps or time.perf_counter() > deadline
            if stale >= 3 or finished:
                break
        values[start.name] = tuple(run)
        if finished:
            break
    return AlternationResult(
        best.allocation, best.value_qps, tuple(trace), count, values, (used_cm, used_em)
    )


def onload(
    problem: Problem, prices: Prices, form: EdgeForm, tiers: Tiers
) -> tuple[BoolArray, BoolArray]:
    """Models of every client, then of every edge given what its clients now hold (F3, F4)."""
    cloud_ct = best_by_client(problem, _cloud_net_at(problem, prices, tiers))
    service_at = _service_net_at(problem, prices, tiers)
    local_ctm = _local_net_ctm(problem, prices)
    C, E, M = len(problem.clients), len(problem.edges), len(problem.models)
    onloaded_cm, onloaded_em = np.zeros((C, M), dtype=bool), np.zeros((E, M), dtype=bool)
    if tiers.client:
        outside_ct = np.maximum(cloud_ct, best_by_client(problem, service_at))
        load_ct = problem.load_ct
        onloaded_cm = greedy_cover_nodes(
            load_ct[:, :, None] * local_ctm, load_ct * np.maximum(outside_ct, 0.0),
            problem.client_model_bytes_cm, problem.client_memory_c,
        )  # fmt: skip
    if tiers.edge:
        held_ctm = np.where(onloaded_cm[:, None, :], local_ctm, 0.0)
        own_ct = np.maximum(held_ctm.max(axis=2, initial=0.0), cloud_ct)
        own_at = np.maximum(own_ct[problem.client_of_a], best_of_others(problem, service_at))
        onloaded_em = _onload_edges(problem, prices, form, own_at)
    return onloaded_cm, onloaded_em


def _onload_edges(
    problem: Problem, prices: Prices, form: EdgeForm, own_at: FloatArray
) -> BoolArray:
    """Greedy cover of each edge; a query is worth what it gains over the best its client has
    without this edge."""
    onloaded_em = np.zeros((len(problem.edges), len(problem.models)), dtype=bool)
    limit_at = edge_limit_at(problem)
    upward_at = prices.link_a(problem)[:, None] * problem.query_bytes_t
    serves_tm = problem.accuracy_mt.T > 0
    for e in range(len(problem.edges)):
        a = np.flatnonzero(problem.edge_of_a == e)
        work_m = problem.edge_marginal_em[e]
        fixed_m = prices.window_e[e] * problem.edge_setup_em[e]
        if form == "unbatched":
            work_m, fixed_m = work_m + problem.edge_setup_em[e], np.zeros_like(fixed_m)
        price_m = prices.window_e[e] * problem.window_e[e] * work_m
        net_tm = np.where(serves_tm, problem.accuracy_mt.T - price_m, 0.0)
        net_atm = np.maximum(net_tm - upward_at[a][:, :, None], 0.0)
        weight_at = limit_at[a]
        onloaded_em[e] = greedy_cover(
            (weight_at[:, :, None] * net_atm).reshape(-1, net_atm.shape[2]),
            (weight_at * own_at[a]).ravel(),
            problem.edge_model_bytes_em[e], float(problem.edge_memory_e[e]), fixed_m,
        )  # fmt: skip
    return onloaded_em


def _local_net_ctm(problem: Problem, prices: Prices) -> FloatArray:
    """(a_mt - alpha_i (nu_im + c_im))^+, 0 where the model does not serve the task."""
    cost_cm = problem.client_setup_cm + problem.client_marginal_cm
    price_cm = prices.compute_c[:, None] * cost_cm
    net_ctm = problem.accuracy_mt.T[None] - price_cm[:, None, :]
    net_ctm = np.where(problem.accuracy_mt.T > 0, np.maximum(net_ctm, 0.0), 0.0)
    if has_deadlines(problem):
        net_ctm = net_ctm * local_open_cmt(problem).transpose(0, 2, 1)
    return net_ctm


def _cloud_net_at(problem: Problem, prices: Prices, tiers: Tiers) -> FloatArray:
    """What a query earns in the cloud by way of each attachment, its path paid for."""
    if not tiers.cloud:
        return np.zeros((len(problem.client_of_a), len(problem.tasks)))
    byte_a = prices.link_a(problem) + prices.uplink_e[problem.edge_of_a]
    net_t = problem.cloud_accuracy_t - prices.cloud * problem.cloud_cost_t
    net_at = np.maximum(net_t - byte_a[:, None] * problem.query_bytes_t, 0.0)
    # No price is learned for a link that carries nothing, so its path is closed here.
    return net_at * cloud_open_at(problem)


def _service_net_at(problem: Problem, prices: Prices, tiers: Tiers) -> FloatArray:
    """What a query earns at the edge of each attachment, its path paid for."""
    if not tiers.edge:
        return np.zeros((len(problem.client_of_a), len(problem.tasks)))
    upward_at = prices.link_a(problem)[:, None] * problem.query_bytes_t
    net_at = prices.service_et[problem.edge_of_a] - upward_at
    return np.where(edge_open_at(problem), net_at, 0.0)


def _rounded(problem: Problem, relaxation: Relaxation) -> tuple[BoolArray, BoolArray]:
    """Models of the relaxation, the fullest first, as memory allows."""
    return (
        pack(relaxation.onloaded_cm, problem.client_model_bytes_cm, problem.client_memory_c),
        pack(relaxation.onloaded_em, problem.edge_model_bytes_em, problem.edge_memory_e),
    )


def pack(score_nm: FloatArray, bytes_nm: FloatArray, memory_n: FloatArray) -> BoolArray:
    """Every node's models in order of falling score (above zero), as memory allows."""
    chosen_nm = np.zeros(score_nm.shape, dtype=bool)
    left_n = room(memory_n)
    order_nm = np.argsort(-score_nm, axis=1, kind="stable")
    n = np.arange(len(memory_n))
    for rank in range(score_nm.shape[1]):
        m = order_nm[:, rank]
        take_n = (score_nm[n, m] > 1e-6) & (bytes_nm[n, m] <= left_n)
        if not (score_nm[n, m] > 1e-6).any():
            break
        chosen_nm[n[take_n], m[take_n]] = True
        left_n[take_n] -= bytes_nm[n, m][take_n]
    return chosen_nm


def expected_queries_em(problem: Problem) -> FloatArray:
    """First point of linearisation: a window's offloadable queries shared among four models."""
    rate_e = by_edge(problem, edge_limit_at(problem).sum(axis=1))
    per_model_e = problem.window_e * rate_e / 4
    return np.repeat(per_model_e[:, None], len(problem.models), axis=1)


def _blend(old: Prices, new: Prices, weight: float) -> Prices:
    """old + weight (new - old): the damped dual update that keeps clients from answering the
    same price all at once."""
    mixed = {
        item.name: (1 - weight) * getattr(old, item.name) + weight * getattr(new, item.name)
        for item in fields(Prices)
    }
    return Prices(**mixed)
