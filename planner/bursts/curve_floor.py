"""Under-estimates of the work that batches with measured times bring a window, for bounds (F15).

With M(n) the mean work of n queries a window and L(k) the time of k of them, one more query adds
D(n) = E(L(N + 1) - L(N)), N Poisson. M rises with slope D, and the work's variance is at least
D(n)^2 n, since Cov(L(N), N) = n D(n). So a plan whose windows have at most N_m queries of m has

    mean >= sum_m a_m n_m   and   variance >= sum_m sigma_m^2 n_m,
    a_m = min M_m(n) / n,   sigma_m = min D_m(n),   0 < n <= N_m.

Both minima are taken between the points of a grid. Of the rises and falls of L(k + 1) - L(k), the
rises are expected where N is least, the falls where it is largest: no n between has a smaller D.

Axis letters: m model, g point of the grid, k number of queries.
"""

from __future__ import annotations

import numpy as np

from planner.batch_work import most_queries, poisson_chance_nk, work_of_counts
from planner.fits import room
from planner.problem import FloatArray, Problem

__all__ = ["least_work"]

POINTS = 128
SMALLEST = 1e-3
"""of the largest n: where the grid begins after 0"""
UNDER = 1 - 1e-9
"""covers the rounding of the sums"""


def least_work(
    problem: Problem, demand_em: FloatArray, z_e: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """a and sigma (e x m, seconds a query) for every plan that keeps F11 in the form
    mean + z_e sqrt(variance) <= beta T_b, with at most `demand_em` queries a window."""
    window_e = room(problem.edge_compute_e * problem.window_e)
    mean_em, slope_em = np.zeros_like(demand_em), np.zeros_like(demand_em)
    for e in np.flatnonzero(demand_em.any(axis=1)):
        mean_em[e], slope_em[e] = _of_edge(
            problem, int(e), demand_em[e], float(window_e[e]), float(z_e[e])
        )
    return mean_em * UNDER, slope_em * UNDER


def _of_edge(
    problem: Problem, e: int, demand_m: FloatArray, window_s: float, z: float
) -> tuple[FloatArray, FloatArray]:
    top = float(demand_m.max())
    queries_g = np.append(0.0, top * np.geomspace(SMALLEST, 1.0, POINTS))
    counts_k = np.arange(most_queries(top) + 2)
    work_mk = work_of_counts(problem, e, np.arange(len(demand_m)), counts_k)
    chance_gk = poisson_chance_nk(queries_g, counts_k[:-1])
    step_mk = np.diff(work_mk, axis=1)
    turn_mk = np.diff(step_mk, axis=1, prepend=step_mk[:, :1])
    rise_gm = chance_gk @ np.maximum(turn_mk, 0.0).cumsum(axis=1).T
    fall_gm = chance_gk @ np.maximum(-turn_mk, 0.0).cumsum(axis=1).T
    # From here on g is the stretch between a point and the next one.
    slope_gm = np.maximum(step_mk[:, 0] + rise_gm[:-1] - fall_gm[1:], 0.0)
    mean_gm = (chance_gk @ work_mk[:, :-1].T)[:-1]
    begin_g, end_g = queries_g[:-1, None], queries_g[1:, None]
    # M(n) >= M(begin) + D (n - begin), so M(n) / n is least at an end of the stretch.
    at_begin_gm = np.divide(mean_gm, begin_g, out=np.full_like(mean_gm, np.inf), where=begin_g > 0)
    at_end_gm = (mean_gm + slope_gm * (end_g - begin_g)) / end_g
    ratio_gm = np.minimum(at_begin_gm, at_end_gm)
    # M never falls: a plan has no more queries than the last stretch that begins within the window.
    open_gm = (begin_g < demand_m) & (mean_gm <= window_s)
    least_m = np.where(open_gm, slope_gm, np.inf).min(axis=0)
    least_m = np.where(np.isfinite(least_m), least_m, 0.0)
    open_gm &= mean_gm + z * least_m * np.sqrt(begin_g) <= window_s
    ratio_m = np.where(open_gm, ratio_gm, np.inf).min(axis=0)
    slope_m = np.where(open_gm, slope_gm, np.inf).min(axis=0)
    return (
        np.where(np.isfinite(ratio_m), ratio_m, 0.0),
        np.where(np.isfinite(slope_m), slope_m, 0.0),
    )
