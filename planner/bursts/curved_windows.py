"""F9 and F6 where batches take what was measured (F15), for every policy alike.

Under F11 `headroom` sees to curves. Without it, windows are planned for the mean load: a policy
plans with lines in the place of curves, what it plans is thinned until the curves fit the window,
and lines follow the sizes of its batches until both say the same of every window. The bound is what
the policy proves with lines that lie nowhere above the curves.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from planner.bursts.best_plan import BestPlan
from planner.bursts.certified_anew import certified_anew
from planner.bursts.headroom import BoundOf
from planner.bursts.line_steps import LineSteps
from planner.bursts.window_routes import thin
from planner.certificate import Status
from planner.curve_lines import lines_below
from planner.options import EdgeForm, Options
from planner.problem import Problem
from planner.solution import Solution

__all__ = ["plan_with_curves"]

STEPS = 6
MEET = 2e-3
"""Relative difference of what lines and curves say of a window that is none."""
LEAST_S = 0.1
METHOD = "{}, lines below the curves (F15)"


def plan_with_curves(
    problem: Problem,
    run: Callable[[Problem, Options], Solution],
    options: Options,
    *,
    bound_of: BoundOf | None = None,
    form: EdgeForm = "batched",
) -> Solution:
    """Plan `problem`, which has curves, with `run`, for the mean load.

    `bound_of` bounds what any plan can reach; left out, `run` does, with lines below the curves.
    `options` are resolved and without an `overrun`; `form` is what `run` plans edges with.
    """
    begun_s = time.perf_counter()
    form = options.edge_form or form
    batching = options.edge_form != "unbatched"
    lines = LineSteps(problem, form)
    best = BestPlan(problem, options)
    found: list[Solution] = []

    def left_s() -> float:
        return options.time_limit_s - (time.perf_counter() - begun_s)

    def plan(stated: Problem) -> Solution:
        """Plan with the lines of `stated`; what fits the curves of it is offered."""
        asked = replace(options, time_limit_s=max(left_s(), LEAST_S))
        if found:
            asked = replace(asked, warm_start=found[-1])
        solution = run(stated, asked)
        found.append(solution)
        kept = solution.allocation
        best.offer(thin(problem, kept, None, options.fill) if batching else kept)
        return solution

    for _ in range(STEPS):
        if found and left_s() <= 0:
            break
        solution = plan(lines.of(problem))
        if lines.meet(solution.allocation, MEET):
            break
        lines.follow(solution.allocation)
    if bound_of is not None:
        bound_qps, method = bound_of(problem, options)
    elif found[-1].edge_form == "unbatched":
        # F6 is the same with all lines through the time of one query. `no-batching` plans with F6,
        # too, but what it proves is about F9.
        proof = min(found, key=lambda each: each.certificate.upper_bound).certificate
        bound_qps, method = proof.upper_bound * problem.total_load_qps, proof.bound_method
    else:
        queries_em = problem.window_e[:, None] * best.allocation.edge_rate_em(problem)
        proof = plan(lines_below(problem, "batched", queries_em).of(problem)).certificate
        bound_qps = proof.upper_bound * problem.total_load_qps
        method = METHOD.format(proof.bound_method)
    return certified_anew(
        problem, options, found[-1], best.allocation, bound_qps=bound_qps, method=method,
        trace=tuple(best.trace),
        iterations=sum(each.certificate.iterations for each in found),
        begun_s=begun_s,
        late=any(each.certificate.status is Status.TIME_LIMIT for each in found),
    )  # fmt: skip
