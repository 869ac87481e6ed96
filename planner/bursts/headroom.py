"""F11: windows that keep their promise under random arrivals, for every policy alike.

F9 holds for the mean load only. F11 asks for the work that arrivals exceed in a share delta of
windows (`window_work`): mean + z_delta sqrt(variance) <= beta T_b. A policy plans under F9 with a
share s_e of each window; s_e is moved until F11 is tight where the edge is full. The models that
each share leads to get the best routes under F11 itself, and at the end the best plan's clients
meet the edge models of the others (`window_routes`): set-ups make models come and go at once, and
no share need be right for any of them. Where batches take what was measured (F15), F11 is that of
the curves, and the policy plans with lines that follow the sizes of its batches (`line_steps`).
Axis letters: e edge, a attachment, m model.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from planner.allocation import Allocation
from planner.batch_work import first_batch_em
from planner.bursts.best_plan import BestPlan
from planner.bursts.certified_anew import certified_anew
from planner.bursts.headroom_row import headroom_cost
from planner.bursts.line_steps import LineSteps
from planner.bursts.window_routes import crossed, refilled, thin
from planner.certificate import Status
from planner.evaluate import edge_window_f9, evaluate, window_work_f11
from planner.fairness.bound import fair_bound_qps
from planner.options import EdgeForm, Options
from planner.problem import FloatArray, Problem
from planner.programs.bound import relax_with, trivial_bound_qps
from planner.solution import Solution
from planner.window_work import holds_one_em

__all__ = ["BoundOf", "plan_with_headroom", "relaxed_bound", "with_models_that_fit"]

FIRST_SHARE = 0.7
STEPS = 5
MOST_MOVED, MOST_MOVED_REFILLED = (0.7, 1.3), (0.7, 1.5)
"""Factors by which the part of a window may change in a step. What overfills a window by much is
lost where routes are thinned, and not where they are sought anew."""
NEAR, NEAR_REFILLED = 5e-3, 0.02
"""Relative difference of two parts, or of lines and curves, that is none. Where routes are sought
anew only models count."""
FULL = 0.99
"""Part of a window from which F11 is tight."""


BoundOf = Callable[[Problem, Options], tuple[float, str]]
"""An upper bound on a problem's optimum under F11, right answers/s, and how it was found."""


def plan_with_headroom(
    problem: Problem,
    run: Callable[[Problem, Options], Solution],
    options: Options,
    *,
    bound_of: BoundOf | None = None,
    best_routes: bool = False,
    form: EdgeForm = "batched",
) -> Solution:
    """Plan with `run` so that at most a share `options.overrun` of windows is overrun (F11).

    F11 takes the place of `fill` at the edges; clients and cloud keep `fill`. The certificate's
    bound is for F11 itself: `bound_of`, the linear relaxation if left out. `options` are resolved.
    `best_routes` says that the routes of `run` are the best for its models: then every step's plan
    is routed anew under F11 itself (`refilled`). `form` is what `run` plans edges with.
    """
    overrun = options.overrun
    assert isinstance(overrun, float)
    begun_s = time.perf_counter()
    inner = replace(options, overrun=None)
    fitting = with_models_that_fit(problem)
    share_e = np.full(len(problem.edges), FIRST_SHARE)
    lines = LineSteps(problem, options.edge_form or form)
    best = BestPlan(problem, options)
    tried: list[FloatArray] = []
    plans: list[Allocation] = []
    solution: Solution | None = None
    iterations, late = 0, False
    for _ in range(STEPS):
        left_s = options.time_limit_s - (time.perf_counter() - begun_s)
        if solution is not None and left_s <= 0:
            late = True
            break
        narrowed = fitting.changed(edge_compute_e=problem.edge_compute_e * share_e / options.fill)
        solution = run(lines.of(narrowed), replace(inner, time_limit_s=max(left_s, 0.1)))
        inner = replace(inner, warm_start=solution)
        iterations += solution.certificate.iterations
        late |= solution.certificate.status is Status.TIME_LIMIT
        thinned = thin(problem, solution.allocation, overrun)
        refills = best_routes and best.by_group and solution.edge_form == "batched"
        if refills:
            thinned = refilled(problem, thinned, overrun, options, best.group_e)
            plans.append(thinned)
        best.offer(thinned)
        tried = [*tried, share_e] if refills else [share_e]
        share_e = _next_share_e(problem, solution.allocation, thinned, overrun, share_e, refills)
        near = NEAR_REFILLED if refills else NEAR
        known = any(np.allclose(share_e, before_e, rtol=near) for before_e in tried)
        if known and lines.meet(solution.allocation, near):
            break
        lines.follow(solution.allocation)
    assert solution is not None
    if plans and not late:
        allocation = crossed(problem, best.allocation, plans, overrun, options, best.group_e)
        best.replace(refilled(problem, allocation, overrun, options, best.group_e))
    allocation = best.allocation
    if options.objective != "mean":
        allocation = _not_below_mean(problem, run, options, allocation, begun_s)
    bound_qps, method = (bound_of or relaxed_bound)(problem, options)
    return certified_anew(
        problem, options, solution, allocation, bound_qps=bound_qps, method=method,
        trace=tuple(best.trace), iterations=iterations, begun_s=begun_s, late=late,
    )  # fmt: skip


def _next_share_e(
    problem: Problem, plan: Allocation, kept: Allocation, overrun: float, share_e: FloatArray,
    refills: bool,
) -> FloatArray:  # fmt: skip
    """The part of each window to plan with next: where F11 would be tight for `plan`, made with the
    part `share_e`.

    With `refills`, it is what F9 says of the routes of `kept` where they fill the window. Where
    `plan` left room for another set-up, it chose to have no more, and its part stays as it is.
    """
    window_e = problem.edge_compute_e * problem.window_e
    use_e = window_work_f11(problem, plan, overrun).use_n
    ratio_e = np.divide(use_e, window_e, out=np.ones_like(use_e), where=window_e > 0)
    most = MOST_MOVED_REFILLED if refills else MOST_MOVED
    moved_e = share_e * np.clip(1.0 / np.maximum(ratio_e, 1e-9), *most)
    if refills:
        full_e = window_work_f11(problem, kept, overrun).use_n >= FULL * window_e
        mean_e = edge_window_f9(problem, kept, 1.0).use_n
        part_e = np.divide(mean_e, window_e, out=np.ones_like(mean_e), where=window_e > 0)
        left_e = share_e * window_e - edge_window_f9(problem, plan, 1.0).use_n
        setup_em = np.where(holds_one_em(problem), first_batch_em(problem), 0.0)
        roomy_e = (use_e <= window_e) & (left_e > setup_em.max(axis=1))
        moved_e = np.where(full_e, part_e, np.where(roomy_e, share_e, moved_e))
    return np.minimum(moved_e, 1.0)


def _not_below_mean(
    problem: Problem,
    run: Callable[[Problem, Options], Solution],
    options: Options,
    allocation: Allocation,
    begun_s: float,
) -> Allocation:
    """`allocation`, or the plan for the mean where that is the better one for the objective: the
    steps above end at a part of each window that need not be the best."""
    left_s = options.time_limit_s - (time.perf_counter() - begun_s)
    if left_s <= 0:
        return allocation
    asked = replace(options, objective="mean", time_limit_s=left_s)
    mean = plan_with_headroom(
        problem, run, asked, bound_of=lambda stated, _: (trivial_bound_qps(stated), "")
    )
    value = evaluate(problem, allocation).value(options.objective)
    return mean.allocation if mean.evaluation.value(options.objective) > value else allocation


def relaxed_bound(problem: Problem, options: Options) -> tuple[float, str]:
    """The bound of the linear relaxation whose edge row is `headroom_cost`."""
    overrun = options.overrun
    assert isinstance(overrun, float)
    fitting = with_models_that_fit(problem)
    if options.objective != "mean":
        bound_qps = fair_bound_qps(
            fitting, lambda piece: headroom_cost(piece, overrun), 1.0, options
        )
        return bound_qps, "linear relaxation (F11, linear under-estimate)"
    found = relax_with(fitting, lambda piece: headroom_cost(piece, overrun), 1.0, options)
    return found.bound_qps, "linear relaxation (F11, linear under-estimate)"


def with_models_that_fit(problem: Problem) -> Problem:
    """Without the edge models of which one query alone overfills the window: F11 refuses them."""
    holds_em = holds_one_em(problem)
    if holds_em.all():
        return problem
    bytes_em = np.where(holds_em, problem.edge_model_bytes_em, np.inf)
    return problem.changed(edge_model_bytes_em=bytes_em)
