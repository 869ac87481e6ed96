"""Edges that share clients (F12), certified together: one program, branch and bound.

It starts from the better of the previous plan's models and those that decomposition finds when
every client keeps its best link only; so a plan with more links is never worse than that.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from planner.allocation import Allocation, join_pieces, tidy
from planner.attachments import components
from planner.decomposition.edge_data import EdgeOptions
from planner.decomposition.edge_search import EdgeResult, search_edge
from planner.edge_cost import EdgeCost
from planner.evaluate import cloud_compute_f8, net_qps
from planner.fits import TOLERANCE, room
from planner.paths import link_a
from planner.problem import Problem
from planner.programs.formulation import build_formulation
from planner.solvers import SolverLimits, solve_program

__all__ = ["search_joined"]

START_SHARE = 0.2
"""Part of the time that may go into starting points."""


def search_joined(
    problem: Problem, cost: EdgeCost, options: EdgeOptions, warm: Allocation | None = None
) -> EdgeResult:
    """Plan `problem` (one component, F8 priced) to `options.gap`; `warm` is a previous plan."""
    begun_s = time.perf_counter()
    best, value_qps = Allocation.empty(problem), 0.0
    starts = [_on_best_links(problem, cost, options)]
    if warm is not None:
        starts.append(warm)
    for start in starts:
        found, found_qps, _, _ = _solve(problem, cost, options, options.time_limit_s, start)
        if found_qps > value_qps:
            best, value_qps = found, found_qps
    left_s = max(options.time_limit_s - (time.perf_counter() - begun_s), 0.05)
    found, found_qps, bound_qps, nodes = _solve(problem, cost, options, left_s, best, choose=True)
    if found_qps > value_qps:
        best, value_qps = found, found_qps
    bound_qps = max(bound_qps * (1 + TOLERANCE), value_qps)
    proven = bound_qps <= value_qps / (1 - options.gap) * (1 + 1e-12)
    return EdgeResult(
        allocation=best,
        value_qps=value_qps,
        bound_qps=bound_qps,
        cloud_busy=float(cloud_compute_f8(problem, best, 1.0).use_n[0]),
        rounds=nodes,
        trace=((value_qps, bound_qps),),
        proven=proven,
        late=not proven and time.perf_counter() - begun_s >= options.time_limit_s,
        prices=np.zeros((0, len(problem.tasks) + 2)),
    )


def _solve(
    problem: Problem, cost: EdgeCost, options: EdgeOptions, time_s: float, start: Allocation,
    *, choose: bool = False,
) -> tuple[Allocation, float, float, int]:  # fmt: skip
    """(plan, its value, bound, nodes) with the models of `start`, or (`choose`) the best models,
    searched from that plan."""
    setup_e = np.where(start.onloaded_em, cost.fixed_em, 0.0).sum(axis=1)
    window_e = options.fill * problem.edge_compute_e * problem.window_e
    held = (start.onloaded_cm, start.onloaded_em & (setup_e <= room(window_e))[:, None])
    model = build_formulation(
        problem, fill=options.fill, edge_cost=cost, choose=choose,
        allowed_cm=None if choose else held[0], allowed_em=None if choose else held[1],
        cloud_price=options.cloud_price,
    )  # fmt: skip
    limits = SolverLimits(options.gap, time_s)
    start_v = model.point(problem, start) if choose else None
    result = solve_program(model.program, limits, "highs", start_v)
    if result.x_v is None:
        return Allocation.empty(problem), 0.0, result.bound, result.nodes
    found = model.allocation(problem, result.x_v)
    found = tidy(problem, found, fill=options.fill, batched=cost.batches(problem))
    busy = float(cloud_compute_f8(problem, found, 1.0).use_n[0])
    value_qps = net_qps(problem, found) - options.cloud_price * busy
    return found, value_qps, result.bound, result.nodes


def _on_best_links(problem: Problem, cost: EdgeCost, options: EdgeOptions) -> Allocation:
    """Every edge decomposed on its own, each client on the link that carries most."""
    order = np.lexsort((-link_a(problem), problem.client_of_a))
    _, first = np.unique(problem.client_of_a[order], return_index=True)
    kept = order[first]
    apart = problem.changed(
        client_of_a=problem.client_of_a[kept], edge_of_a=problem.edge_of_a[kept],
        uplink_a=problem.uplink_a[kept], rtt_a=problem.rtt_a[kept],
        bandwidth_a=problem.bandwidth_a[kept], backlog_a=problem.backlog_a[kept],
    )  # fmt: skip
    parts = components(apart)
    share_s = START_SHARE * options.time_limit_s / max(len(parts), 1)
    limited = replace(options, time_limit_s=share_s)
    pieces = []
    for part in parts:
        own = cost.of_edges(part.edges)
        pieces.append((part, search_edge(part.piece(apart), own, limited).allocation))
    joined = join_pieces(apart, pieces)
    models = Allocation.empty(problem)
    return replace(models, onloaded_cm=joined.onloaded_cm, onloaded_em=joined.onloaded_em)
