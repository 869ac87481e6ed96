"""Edges that share clients (F12), once more as one program where decomposition leaves a gap.

Prices are those of a task at an edge, whichever client asks, and the limit of an attachment beside
others has none: so decomposition may leave a gap between its plan and its bound. Where there are
few enough models to choose, branch and bound goes on from its plan, in the time that is left.
"""

from __future__ import annotations

import time
from dataclasses import replace

from planner.allocation import tidy
from planner.decomposition.component_search import (
    ComponentResult,
    SearchOptions,
    WarmComponent,
    gap_closed,
    search_component,
    worth,
)
from planner.edge_cost import EdgeCost
from planner.fits import TOLERANCE
from planner.problem import Problem
from planner.programs.formulation import build_formulation
from planner.solvers import SolverLimits, solve_program

__all__ = ["search_joined"]

MOST_MODELS = 5000
"""at all nodes; beyond, branch and bound closes no gap in the time there is"""
DECOMPOSITION_SHARE = 0.5
"""Part of the time that decomposition may take where branch and bound may follow."""
LEAST_S = 0.05


def search_joined(
    problem: Problem, cost: EdgeCost, options: SearchOptions, warm: WarmComponent | None = None
) -> ComponentResult:
    """Plan `problem` (one component of several edges, F8 priced) to `options.gap`."""
    begun_s = time.perf_counter()
    choices = (len(problem.clients) + len(problem.edges)) * len(problem.models)
    share = 1.0 if choices > MOST_MODELS else DECOMPOSITION_SHARE
    limited = replace(options, time_limit_s=share * options.time_limit_s)
    found = search_component(problem, cost, limited, warm)
    if found.proven or choices > MOST_MODELS:
        return found
    left_s = max(options.time_limit_s - (time.perf_counter() - begun_s), LEAST_S)
    better = _branched(problem, cost, replace(options, time_limit_s=left_s), found)
    late = time.perf_counter() - begun_s >= options.time_limit_s
    return replace(better, late=late and not better.proven)


def _branched(
    problem: Problem, cost: EdgeCost, options: SearchOptions, found: ComponentResult
) -> ComponentResult:
    """`found`, with what branch and bound makes of its plan and bound."""
    model = build_formulation(
        problem, fill=options.fill, edge_cost=cost, choose=True, cloud_price=options.cloud_price
    )
    start_v = model.point(problem, found.allocation)
    limits = SolverLimits(options.gap, options.time_limit_s)
    result = solve_program(model.program, limits, "highs", start_v)
    allocation, value_qps, cloud_busy = found.allocation, found.value_qps, found.cloud_busy
    if result.x_v is not None:
        plan = model.allocation(problem, result.x_v)
        plan = tidy(problem, plan, fill=options.fill, batched=cost.batches(problem))
        plan_qps, busy = worth(problem, plan, options.cloud_price)
        if plan_qps > value_qps:
            allocation, value_qps, cloud_busy = plan, plan_qps, busy
    bound_qps = max(min(found.bound_qps, result.bound * (1 + TOLERANCE)), value_qps)
    return replace(
        found,
        allocation=allocation,
        value_qps=value_qps,
        bound_qps=bound_qps,
        cloud_busy=cloud_busy,
        rounds=found.rounds + result.nodes,
        trace=(*found.trace, (value_qps, bound_qps)),
        proven=gap_closed(value_qps, bound_qps, options.gap),
    )
