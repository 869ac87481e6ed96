"""Policies that plan every task as asked of an image of its own, where images are asked several.

Such a plan counts a pass and an upload for every task, and there will be no more, so it keeps every
budget. But it leaves room unused where tasks share passes, and where it sheds one task, whole
requests are shed with it. So a policy whose routes are the best for its models chooses the models,
and gets the routes for them that are best for shared passes; one that has a rule for its routes
keeps them. A plan is worth what `evaluate` says of it, and its bound is the one for shared passes:
that of its own search holds for plans without them only.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from planner.evaluate import net_qps
from planner.options import EdgeForm, Options
from planner.passes import apart
from planner.policies.bundled_exact import reroute
from planner.policies.outcome import conclude
from planner.problem import Problem
from planner.programs.bundled import bundled_bound
from planner.solution import Solution, Status

__all__ = ["plan_as_asked_alone"]

LEAST_S = 0.1


def plan_as_asked_alone(
    problem: Problem,
    run: Callable[[Problem, Options], Solution],
    options: Options,
    *,
    best_routes: bool,
) -> Solution:
    """The plan of `run` for tasks that are asked alone, as one of `problem` (F14). `options` are
    those for bundles (`Options.for_bundles`)."""
    begun_s = time.perf_counter()
    found = run(apart(problem), options)
    allocation = found.allocation
    form: EdgeForm = "unbatched" if found.edge_form == "unbatched" else "batched"
    if best_routes and form == (options.edge_form or "batched"):
        left_s = max(options.time_limit_s - (time.perf_counter() - begun_s), LEAST_S)
        allocation = reroute(problem, allocation, options, left_s)
    bound_qps, method = bundled_bound(problem, options.edge_form or "batched", options)
    return conclude(
        problem, options, found.policy, form, allocation,
        upper_bound_qps=bound_qps, bound_method=method, solver=found.certificate.solver,
        iterations=found.certificate.iterations, trace_qps=(net_qps(problem, allocation),),
        begun_s=begun_s, late=found.certificate.status is Status.TIME_LIMIT,
    )  # fmt: skip
