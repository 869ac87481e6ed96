"""F11: windows that keep their promise under random arrivals, for every policy alike.

F9 holds for the mean load only. With Poisson arrivals of n_m queries a window and
p_m = 1 - exp(-n_m), the work of a window has

    mean      sum_m nu_m p_m + c_m n_m
    variance  sum_m nu_m^2 p_m (1 - p_m) + c_m^2 n_m + 2 nu_m c_m n_m (1 - p_m)

and F11 asks mean + z_delta sqrt(variance) <= beta T_b. A policy plans under F9 with a share s_e
of each window; s_e is moved until F11 is tight where the edge is full.
Axis letters: e edge, a attachment, m model.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from planner.allocation import Allocation, merge
from planner.attachments import by_edge, group_of_edges
from planner.bound import relax_with
from planner.certificate import Status, relative_gap
from planner.edge_cost import EdgeCost
from planner.evaluate import evaluate, window_work_f11
from planner.offloading import value_by_group
from planner.options import Options
from planner.paths import edge_limit_at
from planner.problem import FloatArray, Problem
from planner.solution import Solution

__all__ = ["headroom_cost", "plan_with_headroom"]

FIRST_SHARE = 0.7
STEPS = 5


def plan_with_headroom(
    problem: Problem, run: Callable[[Problem, Options], Solution], options: Options
) -> Solution:
    """Plan with `run` so that at most a share `options.overrun` of windows is overrun (F11).

    F11 takes the place of `fill` at the edges; clients and cloud keep `fill`. The certificate's
    bound is for F11 itself. Raises `ValueError` for edges that do not batch.
    """
    overrun = options.overrun
    assert isinstance(overrun, float)
    if options.edge_form == "unbatched":
        raise ValueError("overrun is about windows; it cannot be asked for with unbatched edges")
    begun_s = time.perf_counter()
    inner = replace(options, overrun=None)
    window_e = problem.edge_compute_e * problem.window_e
    share_e = np.full(len(problem.edges), FIRST_SHARE)
    group_e = group_of_edges(problem)
    if np.isfinite(problem.cloud_compute):
        # F8 couples all edges: plans of different steps cannot be mixed.
        group_e = np.zeros_like(group_e)
    best_g = np.full(int(group_e.max()) + 1, -np.inf)
    allocation = Allocation.empty(problem)
    solution: Solution | None = None
    trace: list[float] = []
    iterations = 0
    for _ in range(STEPS):
        left_s = options.time_limit_s - (time.perf_counter() - begun_s)
        if solution is not None and left_s <= 0:
            break
        narrowed = replace(problem, edge_compute_e=problem.edge_compute_e * share_e / options.fill)
        solution = run(narrowed, replace(inner, time_limit_s=max(left_s, 0.1)))
        inner = replace(inner, warm_start=solution)
        iterations += solution.certificate.iterations
        use_e = window_work_f11(problem, solution.allocation, overrun).use_n
        thinned = thin(problem, solution.allocation, overrun)
        value_g = value_by_group(problem, thinned, group_e)
        allocation = merge(problem, allocation, thinned, (value_g > best_g)[group_e])
        best_g = np.maximum(best_g, value_g)
        trace.append(float(best_g.sum()) / max(problem.total_load_qps, 1e-300))
        ratio_e = np.divide(use_e, window_e, out=np.ones_like(use_e), where=window_e > 0)
        step_e = np.clip(1.0 / np.maximum(ratio_e, 1e-9), 0.7, 1.3)
        moved_e = np.minimum(share_e * step_e, 1.0)
        if np.allclose(moved_e, share_e, rtol=5e-3):
            break
        share_e = moved_e
    assert solution is not None
    return _concluded(
        problem, options, overrun, solution, allocation, tuple(trace), iterations, begun_s
    )


def _concluded(
    problem: Problem,
    options: Options,
    overrun: float,
    solution: Solution,
    allocation: Allocation,
    trace: tuple[float, ...],
    iterations: int,
    begun_s: float,
) -> Solution:
    """The best plan, checked against F11 and certified; `solution` is that of the last step."""
    evaluation = evaluate(problem, allocation, fill=options.fill, overrun=overrun)
    objective = evaluation.objective
    if not evaluation.feasible:
        raise RuntimeError(f"{solution.policy} with headroom: {evaluation.violations()[0]}")
    bound = relax_with(problem, lambda piece: headroom_cost(piece, overrun), 1.0, options)
    upper_bound = max(bound.bound_qps / max(problem.total_load_qps, 1e-300), objective)
    if problem.total_load_qps == 0:
        upper_bound = 0.0
    gap = relative_gap(objective, upper_bound)
    certificate = solution.certificate.model_copy(
        update={
            "objective": objective,
            "upper_bound": upper_bound,
            "gap": gap,
            "status": Status.OPTIMAL if gap <= options.gap else Status.FEASIBLE,
            "runtime_s": time.perf_counter() - begun_s,
            "bound_method": "linear relaxation (F11, linear under-estimate)",
            "iterations": iterations,
        }
    )
    return Solution(
        problem, solution.policy, options.fill, allocation, evaluation, certificate, trace,
        solution.prices, overrun, solution.edge_form, solution.iterates,
    )  # fmt: skip


def thin(problem: Problem, allocation: Allocation, overrun: float) -> Allocation:
    """Shed edge queries of each edge in proportion until F11 holds there."""
    window_e = problem.edge_compute_e * problem.window_e
    low_e, high_e = np.zeros(len(problem.edges)), np.ones(len(problem.edges))

    def scaled(factor_e: FloatArray) -> Allocation:
        factor_a = factor_e[problem.edge_of_a]
        return replace(allocation, edge_atm=allocation.edge_atm * factor_a[:, None, None])

    if np.all(window_work_f11(problem, allocation, overrun).use_n <= window_e):
        return allocation
    for _ in range(40):
        middle_e = 0.5 * (low_e + high_e)
        holds_e = window_work_f11(problem, scaled(middle_e), overrun).use_n <= window_e
        low_e, high_e = np.where(holds_e, middle_e, low_e), np.where(holds_e, high_e, middle_e)
    whole_e = window_work_f11(problem, allocation, overrun).use_n <= window_e
    return scaled(np.where(whole_e, 1.0, low_e))


def headroom_cost(problem: Problem, overrun: float) -> EdgeCost:
    """A linear row that every plan with F11 keeps (for bounds).

    Concave terms lie above their chords: with at most N_m queries of m a window,
    nu p(n) >= nu n p(N) / N, and with v = sum c^2 n <= V, sqrt(variance) >= sqrt(v) >= v / sqrt(V).
    N_m and V are what F11 itself leaves room for.
    """
    z = max(NormalDist().inv_cdf(1 - overrun), 0.0)
    window_e = problem.edge_compute_e * problem.window_e
    marginal_em, setup_em = problem.edge_marginal_em, problem.edge_setup_em
    demand_e = problem.window_e * by_edge(problem, edge_limit_at(problem).sum(axis=1))
    most_em = _most_queries(demand_e, window_e, setup_em, marginal_em, z)
    setup_em = setup_em * -np.expm1(-most_em) / most_em
    # v <= c_max sum c n and sum c n + z sqrt(v) <= W bound sqrt(v) by a quadratic equation.
    fits_em = problem.edge_model_bytes_em <= problem.edge_memory_e[:, None]
    largest_e = np.where(fits_em, marginal_em, 0.0).max(axis=1)
    half_e = 0.5 * z * largest_e
    root_e = np.sqrt(half_e**2 + largest_e * window_e) - half_e
    spread_em = z * marginal_em**2 / np.maximum(root_e, 1e-300)[:, None] * (1 - 1e-9)
    spread_em = np.where(fits_em, spread_em, 0.0)
    return EdgeCost(np.zeros_like(setup_em), marginal_em + setup_em + spread_em)


def _most_queries(
    demand_e: FloatArray, window_e: FloatArray, setup_em: FloatArray, marginal_em: FloatArray,
    z: float,
) -> FloatArray:  # fmt: skip
    """Queries a window beyond which a model alone breaks F11, rounded up; at most the demand."""
    low_em = np.zeros_like(setup_em)
    high_em = np.maximum(np.repeat(demand_e[:, None], setup_em.shape[1], axis=1), 1e-9)
    for _ in range(60):
        middle_em = 0.5 * (low_em + high_em)
        work_em = -setup_em * np.expm1(-middle_em) + marginal_em * (middle_em + z * middle_em**0.5)
        keeps_em = work_em <= window_e[:, None]
        low_em = np.where(keeps_em, middle_em, low_em)
        high_em = np.where(keeps_em, high_em, middle_em)
    return np.maximum(high_em * (1 + 1e-9), 1e-9)
