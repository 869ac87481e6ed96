"""Linear rows that every plan with F11 keeps: under-estimates of a window's work, for bounds.

With n_m queries a window for model m, F11 asks for

    sum_m nu_m p(n_m) + c_m n_m + z_delta sqrt(variance) <= beta T_b.

Concave terms lie above their chords: nu p(n) >= nu n p(N) / N where a window has at most N queries
of m, and sqrt(v) >= r + (v - r^2) / (r + s) for r <= sqrt(v) <= s, with v = sum c^2 n, which is at
most the variance. N and the largest sqrt(v) are what F11 itself leaves room for. Where batches take
what was measured (F15), `curve_floor` has under-estimates of mean and variance in the place of
nu p(N) / N + c and c^2.
Axis letters: e edge, a attachment, m model, t task.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from planner.attachments import by_edge
from planner.bursts.curve_floor import least_work
from planner.edge_cost import EdgeCost
from planner.fits import room
from planner.paths import most_asked_em
from planner.problem import FloatArray, Problem

__all__ = ["HeadroomRow", "headroom_cost", "headroom_rows"]

UNDER = 1 - 1e-9
"""covers the rounding of the chords"""


@dataclass(frozen=True, eq=False)
class HeadroomRow:
    """cost . n + constant_e <= window, for all plans whose sqrt(v) lies in the row's range."""

    cost: EdgeCost
    constant_e: FloatArray
    """seconds of the window"""
    most_e: FloatArray
    """the largest sqrt(v) of the range, seconds"""


def headroom_cost(problem: Problem, overrun: float) -> EdgeCost:
    """The row that every plan with F11 keeps, whatever its sqrt(v)."""
    (row,) = headroom_rows(problem, overrun, 1)
    return row.cost


def headroom_rows(problem: Problem, overrun: float, ranges: int) -> tuple[HeadroomRow, ...]:
    """A row for each of `ranges` ranges of sqrt(v), each half as wide as the one above it, the last
    down to 0. A plan keeps the row of its range, so the largest of their bounds is a bound.

    Bursts (F17) add to the variance at least kappa^2 (sum c n)^2 (`_burst_slope_e`), and
    sqrt(v + x) >= cos sqrt(v) + sin sqrt(x) for any angle. Counts steadier than Poisson leave at
    least the part I of the variance.
    """
    steady_e = _least_dispersion_e(problem)
    z_e = max(NormalDist().inv_cdf(1 - overrun), 0.0) * np.sqrt(np.minimum(steady_e, 1.0))
    window_e = problem.edge_compute_e * problem.window_e
    marginal_em = problem.edge_marginal_em
    demand_em = most_asked_em(problem)
    if problem.curved:
        mean_em, marginal_em = least_work(problem, room(demand_em), z_e)
    else:
        most_em = _most_queries(demand_em, window_e, problem.edge_setup_em, marginal_em, z_e)
        mean_em = marginal_em + problem.edge_setup_em * -np.expm1(-most_em) / most_em
    # v <= c_max sum c n and sum c n + z sqrt(v) <= W bound sqrt(v) by a quadratic equation.
    fits_em = problem.edge_model_bytes_em <= room(problem.edge_memory_e)[:, None]
    largest_e = np.where(fits_em, marginal_em, 0.0).max(axis=1)
    half_e = 0.5 * z_e * largest_e
    root_e = np.sqrt(half_e**2 + largest_e * window_e) - half_e
    slope_e = _burst_slope_e(problem)
    whole_e = np.maximum(np.hypot(root_e, slope_e * window_e), 1e-300)
    cosine_e = np.where(slope_e > 0, root_e / whole_e, 1.0)
    sine_e = np.where(slope_e > 0, slope_e * window_e / whole_e, 0.0)
    bursts_em = (z_e * sine_e * slope_e)[:, None] * marginal_em
    rows = []
    for number in range(ranges):
        high_e = root_e * 0.5**number
        low_e = 0.5 * high_e if number < ranges - 1 else np.zeros_like(high_e)
        chord_e = z_e * cosine_e / np.maximum(high_e + low_e, 1e-300)
        spread_em = np.where(fits_em, chord_e[:, None] * marginal_em**2 + bursts_em, 0.0) * UNDER
        # r - r^2 / (r + s) = r s / (r + s)
        constant_e = chord_e * high_e * low_e * UNDER
        cost = EdgeCost(np.zeros_like(mean_em), mean_em + spread_em)
        rows.append(HeadroomRow(cost, constant_e, high_e))
    return tuple(rows)


def _least_dispersion_e(problem: Problem) -> FloatArray:
    """The least I of the clients with load that reach each edge; 1 where there is none."""
    c = problem.client_of_a
    asks_a = problem.load_ct[c].sum(axis=1) > 0
    least_e = np.full(len(problem.edges), np.inf)
    np.minimum.at(least_e, problem.edge_of_a[asks_a], problem.dispersion_c[c[asks_a]])
    return np.where(np.isfinite(least_e), least_e, 1.0)


def _burst_slope_e(problem: Problem) -> FloatArray:
    """kappa of each edge: bursts add at least kappa^2 (sum_m c_m n_m)^2 to the variance (F17).

    With v_i = (I_i - 1) / N_i they add sum_i v_i u_i^2 with u_i >= w_i, the work sum_m c_m n_im of
    client i. By Cauchy-Schwarz (sum_i w_i)^2 <= sum_i v_i w_i^2 x sum_i 1 / v_i, so kappa^2 is
    1 / sum_i 1 / v_i: 0 as soon as one client is no burstier than Poisson. The part rho of the
    bursts that clients have in common adds (sum_i sqrt(v_i) u_i)^2 >= min_i v_i (sum_i w_i)^2.
    """
    c = problem.client_of_a
    mean_a = problem.window_e[problem.edge_of_a] * problem.load_ct[c].sum(axis=1)
    excess_a = np.maximum(problem.dispersion_c[c] - 1, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio_a = np.where(mean_a > 0, mean_a / excess_a, 0.0)
    total_e = by_edge(problem, ratio_a)
    most_e = np.zeros(len(problem.edges))
    np.maximum.at(most_e, problem.edge_of_a, ratio_a)
    with np.errstate(divide="ignore"):
        alone_e = np.where(total_e > 0, 1 / total_e, 0.0)
        common_e = np.where(most_e > 0, 1 / most_e, 0.0)
    rho = problem.burst_correlation
    return np.asarray(np.sqrt((1 - rho) * alone_e + rho * common_e))


def _most_queries(
    demand_em: FloatArray, window_e: FloatArray, setup_em: FloatArray, marginal_em: FloatArray,
    z_e: FloatArray,
) -> FloatArray:  # fmt: skip
    """Queries a window beyond which a model alone breaks F11, rounded up; at most the demand for
    its tasks."""
    low_em = np.zeros_like(setup_em)
    high_em = np.maximum(demand_em, 1e-9)
    for _ in range(60):
        middle_em = 0.5 * (low_em + high_em)
        spread_em = z_e[:, None] * middle_em**0.5
        work_em = -setup_em * np.expm1(-middle_em) + marginal_em * (middle_em + spread_em)
        keeps_em = work_em <= window_e[:, None]
        low_em = np.where(keeps_em, middle_em, low_em)
        high_em = np.where(keeps_em, high_em, middle_em)
    return np.maximum(high_em * (1 + 1e-9), 1e-9)
