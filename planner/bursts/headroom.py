"""F11: windows that keep their promise under random arrivals, for every policy alike.

F9 holds for the mean load only. F11 asks for the work that arrivals exceed in a share delta of
windows (`window_work`): mean + z_delta sqrt(variance) <= beta T_b. A policy plans under F9 with a
share s_e of each window; s_e is moved until F11 is tight where the edge is full. The models that
each share leads to get the best routes under F11 itself, and at the end the best plan's clients
meet the edge models of the others (`window_routes`): set-ups make models come and go at once, and
no share need be right for any of them.
Axis letters: e edge, a attachment, m model.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from planner.allocation import Allocation, merge
from planner.attachments import group_of_edges
from planner.bursts.headroom_row import headroom_cost
from planner.bursts.window_routes import crossed, refilled, thin
from planner.certificate import Status, relative_gap, status_of
from planner.evaluate import edge_window_f9, evaluate, window_work_f11
from planner.fairness.bound import fair_bound_qps
from planner.options import Options
from planner.problem import FloatArray, Problem
from planner.programs.bound import relax_with, trivial_bound_qps
from planner.programs.offloading import value_by_group
from planner.solution import Solution
from planner.window_work import holds_one_em

__all__ = ["BoundOf", "plan_with_headroom", "relaxed_bound", "with_models_that_fit"]

FIRST_SHARE = 0.7
STEPS = 5
MOST_MOVED, MOST_MOVED_REFILLED = (0.7, 1.3), (0.7, 1.5)
"""Factors by which the part of a window may change in a step. What overfills a window by much is
lost where routes are thinned, and not where they are sought anew."""
NEAR, NEAR_REFILLED = 5e-3, 0.02
"""Relative difference of two parts that is none. Where routes are sought anew only models count."""
FULL = 0.99
"""Part of a window from which F11 is tight."""
AS_GOOD = 1e-5
"""Relative difference of two plans for F18 or F19 that is none."""


BoundOf = Callable[[Problem, Options], tuple[float, str]]
"""An upper bound on a problem's optimum under F11, right answers/s, and how it was found."""


def plan_with_headroom(
    problem: Problem,
    run: Callable[[Problem, Options], Solution],
    options: Options,
    *,
    bound_of: BoundOf | None = None,
    best_routes: bool = False,
) -> Solution:
    """Plan with `run` so that at most a share `options.overrun` of windows is overrun (F11).

    F11 takes the place of `fill` at the edges; clients and cloud keep `fill`. The certificate's
    bound is for F11 itself: `bound_of`, the linear relaxation if left out. `options` are resolved.
    `best_routes` says that the routes of `run` are the best for its models: then every step's plan
    is routed anew under F11 itself (`refilled`).
    """
    overrun = options.overrun
    assert isinstance(overrun, float)
    begun_s = time.perf_counter()
    inner = replace(options, overrun=None)
    fitting = with_models_that_fit(problem)
    share_e = np.full(len(problem.edges), FIRST_SHARE)
    group_e = group_of_edges(problem)
    by_group = options.objective == "mean" and options.energy is None
    if np.isfinite(problem.cloud_compute) or not by_group:
        # F8 couples all edges, F19 all clients, F18 all nodes: plans of different steps cannot be
        # mixed.
        group_e = np.zeros_like(group_e)
    best_g = np.full(int(group_e.max()) + 1, -np.inf)
    best_mean = -np.inf
    tried: list[FloatArray] = []
    plans: list[Allocation] = []
    allocation = Allocation.empty(problem)
    solution: Solution | None = None
    trace: list[float] = []
    iterations, late = 0, False
    for _ in range(STEPS):
        left_s = options.time_limit_s - (time.perf_counter() - begun_s)
        if solution is not None and left_s <= 0:
            late = True
            break
        narrowed = fitting.changed(edge_compute_e=problem.edge_compute_e * share_e / options.fill)
        solution = run(narrowed, replace(inner, time_limit_s=max(left_s, 0.1)))
        inner = replace(inner, warm_start=solution)
        iterations += solution.certificate.iterations
        late |= solution.certificate.status is Status.TIME_LIMIT
        thinned = thin(problem, solution.allocation, overrun)
        refills = best_routes and by_group and solution.edge_form == "batched"
        if refills:
            thinned = refilled(problem, thinned, overrun, options, group_e)
            plans.append(thinned)
        if by_group:
            value_g = value_by_group(problem, thinned, group_e)
            better_g = value_g > best_g
        else:
            evaluated = evaluate(problem, thinned, energy=options.energy)
            value_g = np.array([evaluated.value(options.objective) * problem.total_load_qps])
            # Of plans that are as good for what is planned, the one with the better mean.
            same_g = np.isclose(value_g, best_g, rtol=AS_GOOD)
            better_g = np.where(same_g, evaluated.objective > best_mean, value_g > best_g)
            best_mean = evaluated.objective if better_g[0] else best_mean
        allocation = merge(problem, allocation, thinned, better_g[group_e])
        best_g = np.maximum(best_g, value_g)
        trace.append(float(best_g.sum()) / max(problem.total_load_qps, 1e-300))
        tried = [*tried, share_e] if refills else [share_e]
        share_e = _next_share_e(problem, solution.allocation, thinned, overrun, share_e, refills)
        near = NEAR_REFILLED if refills else NEAR
        if any(np.allclose(share_e, before_e, rtol=near) for before_e in tried):
            break
    assert solution is not None
    if plans and not late:
        allocation = crossed(problem, allocation, plans, overrun, options, group_e)
        allocation = refilled(problem, allocation, overrun, options, group_e)
        best_g = value_by_group(problem, allocation, group_e)
        trace.append(float(best_g.sum()) / max(problem.total_load_qps, 1e-300))
    if options.objective != "mean":
        allocation = _not_below_mean(problem, run, options, allocation, begun_s)
    bound_qps, method = (bound_of or relaxed_bound)(problem, options)
    return _concluded(
        problem, options, overrun, bound_qps, method, solution, allocation, tuple(trace),
        iterations, begun_s, late,
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
        setup_em = np.where(holds_one_em(problem), problem.edge_setup_em, 0.0)
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


def _concluded(
    problem: Problem,
    options: Options,
    overrun: float,
    bound_qps: float,
    method: str,
    solution: Solution,
    allocation: Allocation,
    trace: tuple[float, ...],
    iterations: int,
    begun_s: float,
    late: bool,
) -> Solution:
    """The best plan, checked against F11 and certified; `solution` is that of the last step."""
    evaluation = evaluate(
        problem, allocation, fill=options.fill, overrun=overrun, energy=options.energy
    )
    objective = evaluation.value(options.objective)
    if not evaluation.feasible:
        raise RuntimeError(f"{solution.policy} with headroom: {evaluation.violations()[0]}")
    upper_bound = max(bound_qps / max(problem.total_load_qps, 1e-300), objective)
    if problem.total_load_qps == 0:
        upper_bound = 0.0
    gap = relative_gap(objective, upper_bound)
    runtime_s = time.perf_counter() - begun_s
    certificate = solution.certificate.model_copy(
        update={
            "objective": objective,
            "upper_bound": upper_bound,
            "gap": gap,
            "status": status_of(gap, options.gap, late=late or runtime_s > options.time_limit_s),
            "runtime_s": runtime_s,
            "bound_method": method,
            "iterations": iterations,
        }
    )
    return Solution(
        problem, solution.policy, options.fill, allocation, evaluation, certificate, trace,
        solution.prices, overrun, solution.edge_form, solution.iterates,
    )  # fmt: skip
