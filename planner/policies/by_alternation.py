"""The policies of the paper: relax, alternate from every start, certify."""

from __future__ import annotations

import time
from importlib import import_module

from planner.options import EdgeForm, Options
from planner.policies.alternation import alternate, starting_points
from planner.policies.outcome import conclude
from planner.policies.warm_start import warm_allocation
from planner.problem import Problem
from planner.programs.bound import relax
from planner.programs.offloading import Tiers, keep_both_forms
from planner.solution import Solution

__all__ = ["plan_by_alternation"]


def plan_by_alternation(
    problem: Problem, options: Options, policy: str, own_form: EdgeForm, *, closing: bool
) -> Solution:
    """Plan with the edge row of `own_form`, or with that of the options.

    A policy of its own form `batched` goes by the surrogate of F9. A plan of one that does not
    batch is made to keep F9 too, unless the options ask for a form. With `closing`, the best plan
    among all models that the alternation came across is sought at the end.
    """
    begun_s = time.perf_counter()
    form = options.edge_form or own_form
    relaxation = relax(problem, form, options)
    warm = warm_allocation(problem, options)
    result = alternate(
        problem, options, form, Tiers(),
        starting_points(problem, form, Tiers(), relaxation, warm),
        surrogate=form == own_form == "batched",
        target_qps=relaxation.bound_qps * (1 - options.gap),
    )  # fmt: skip
    if closing:
        # Imported when first asked for: it compiles, which policies without it need not wait for.
        closed = import_module("planner.policies.closing").closed
        result = closed(problem, result, relaxation, form, options, begun_s)
    allocation = result.allocation
    if own_form == "unbatched" and options.edge_form is None:
        allocation = keep_both_forms(problem, allocation, options)
    return conclude(
        problem, options, policy, form, allocation,
        upper_bound_qps=relaxation.bound_qps, bound_method=relaxation.method,
        solver="HiGHS", iterations=result.iterations, trace_qps=result.trace, begun_s=begun_s,
        iterates_qps=result.values_by_start,
    )  # fmt: skip
