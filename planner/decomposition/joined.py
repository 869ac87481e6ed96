"""Edges that share clients (F12), certified together: one program, branch and bound."""

from __future__ import annotations

import numpy as np

from planner.allocation import Allocation, tidy
from planner.decomposition.edge_data import EdgeOptions
from planner.decomposition.edge_search import EdgeResult
from planner.edge_cost import EdgeCost
from planner.evaluate import accuracy_qps_t, cloud_compute_f8
from planner.formulation import build_formulation
from planner.problem import Problem
from planner.solvers import SolverLimits, solve_program

__all__ = ["search_joined"]


def search_joined(
    problem: Problem, cost: EdgeCost, options: EdgeOptions, warm: Allocation | None = None
) -> EdgeResult:
    """Plan `problem` (one component, F8 priced) to `options.gap`, from `warm` if it is given."""
    model = build_formulation(
        problem, fill=options.fill, edge_cost=cost, choose=True, cloud_price=options.cloud_price
    )
    start_v = None if warm is None else model.point(problem, warm)
    limits = SolverLimits(options.gap, options.time_limit_s)
    result = solve_program(model.program, limits, "highs", start_v)
    allocation = Allocation.empty(problem)
    if result.x_v is not None:
        allocation = model.allocation(problem, result.x_v)
    batched = bool(np.any(cost.fixed_em != 0)) or not np.any(problem.edge_setup_em)
    allocation = tidy(problem, allocation, fill=options.fill, batched=batched)
    busy = float(cloud_compute_f8(problem, allocation, 1.0).use_n[0])
    value_qps = float(accuracy_qps_t(problem, allocation).sum()) - options.cloud_price * busy
    bound_qps = max(result.bound, value_qps)
    proven = bound_qps <= value_qps / (1 - options.gap) * (1 + 1e-12)
    trace = ((value_qps, bound_qps),)
    none = np.zeros((0, len(problem.tasks) + 2))
    return EdgeResult(allocation, value_qps, bound_qps, busy, result.nodes, trace, proven, none)
