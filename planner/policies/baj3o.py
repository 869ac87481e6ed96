"""BAJ3O: alternation with batching at the edges (F9) through the Taylor surrogate."""

from __future__ import annotations

import time

from planner.options import Options
from planner.policies.alternation import alternate, starting_points
from planner.policies.closing import closed
from planner.policies.j3o import warm_allocation
from planner.policies.outcome import conclude
from planner.problem import Problem
from planner.programs.bound import relax
from planner.programs.offloading import Tiers
from planner.solution import Solution

__all__ = ["baj3o", "baj3o_plain"]


def baj3o(problem: Problem, options: Options) -> Solution:
    """As `baj3o_plain`, and at the end the best plan among all models that it came across."""
    return _planned(problem, options, "baj3o", closing=True)


def baj3o_plain(problem: Problem, options: Options) -> Solution:
    """Alternate under the surrogate of F9, re-linearised each iteration; repair every iterate."""
    return _planned(problem, options, "baj3o-plain", closing=False)


def _planned(problem: Problem, options: Options, policy: str, *, closing: bool) -> Solution:
    begun_s = time.perf_counter()
    form = options.edge_form or "batched"
    relaxation = relax(problem, form, options)
    warm = warm_allocation(problem, options)
    starts = starting_points(problem, form, Tiers(), relaxation, warm)
    result = alternate(
        problem, options, form, Tiers(), starts, surrogate=form == "batched",
        target_qps=relaxation.bound_qps * (1 - options.gap),
    )  # fmt: skip
    if closing:
        result = closed(problem, result, relaxation, form, options, begun_s)
    return conclude(
        problem, options, policy, form, result.allocation,
        upper_bound_qps=relaxation.bound_qps, bound_method=relaxation.method,
        solver="HiGHS", iterations=result.iterations, trace_qps=result.trace, begun_s=begun_s,
        iterates_qps=result.values_by_start,
    )  # fmt: skip
