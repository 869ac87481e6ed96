"""BAJ3O: alternation with batching at the edges (F9) through the Taylor surrogate."""

from __future__ import annotations

import time

from planner.certificate import Status, relative_gap
from planner.options import Options
from planner.policies.alternation import alternate, starting_points
from planner.policies.j3o import warm_allocation
from planner.policies.outcome import conclude
from planner.problem import Problem
from planner.programs.bound import relax
from planner.programs.offloading import Tiers
from planner.solution import Solution

__all__ = ["baj3o"]


def baj3o(problem: Problem, options: Options) -> Solution:
    """Alternate under the surrogate of F9, re-linearised each iteration; repair every iterate."""
    begun_s = time.perf_counter()
    form = options.edge_form or "batched"
    relaxation = relax(problem, form, options)
    starts = starting_points(problem, Tiers(), relaxation, warm_allocation(problem, options))
    result = alternate(
        problem, options, form, Tiers(), starts, surrogate=form == "batched",
        target_qps=relaxation.bound_qps * (1 - options.gap),
    )  # fmt: skip
    proven = relative_gap(result.value_qps, relaxation.bound_qps) <= options.gap
    return conclude(
        problem, options, "baj3o", form, result.allocation,
        upper_bound_qps=relaxation.bound_qps, bound_method=relaxation.method,
        status=Status.OPTIMAL if proven else Status.FEASIBLE, solver="HiGHS",
        iterations=result.iterations, trace_qps=result.trace, begun_s=begun_s,
        iterates_qps=result.values_by_start,
    )  # fmt: skip
