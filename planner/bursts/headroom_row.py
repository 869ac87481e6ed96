"""Linear rows that every plan with F11 keeps: under-estimates of a window's work, for bounds.

With n_m queries a window for model m, p = 1 - exp(-n_m) and q = 1 - p, F11 asks for

    sum_m M_m(n_m) + z_delta sqrt(variance) <= beta T_b,   M_m(n) = nu_m p + c_m n,
    variance >= V = sum_m V_m(n_m),   V_m(n) = nu_m^2 p q + c_m^2 n + 2 nu_m c_m n q.

p / n, p q / n and q fall as n rises, so M_m(n) >= n M_m(N) / N and V_m(n) >= n V_m(N) / N where a
window has at most N queries of m. sqrt(V) is concave: it lies above its chord,
sqrt(V) >= r + (V - r^2) / (r + s) for r <= sqrt(V) <= s. N and the largest sqrt(V) are what F11
itself leaves room for: V <= max_m (nu_m + c_m) sum_m M_m. Where batches take what was measured
(F15), `curve_floor` has under-estimates of mean and variance a query.
Axis letters: e edge, a attachment, m model, g cell of a grid.
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

__all__ = ["HeadroomRow", "HeadroomRows", "headroom_cost"]

UNDER = 1 - 1e-9
"""covers the rounding of the chords"""


CELLS = 64
"""of the grid on which the most queries of a model are sought"""


@dataclass(frozen=True, eq=False)
class HeadroomRow:
    """cost . n + constant_e <= window, for all plans whose sqrt(V) lies in the row's range."""

    cost: EdgeCost
    constant_e: FloatArray
    """seconds of the window"""
    least_e: FloatArray
    most_e: FloatArray
    """the range of sqrt(V), seconds"""


def headroom_cost(problem: Problem, overrun: float) -> EdgeCost:
    """The row that every plan with F11 keeps, whatever its sqrt(V)."""
    return HeadroomRows(problem, overrun).whole().cost


class HeadroomRows:
    """The rows of a problem for ranges of sqrt(V). A plan keeps the row of its range, so of ranges
    that leave none out the largest bound is a bound.

    Bursts (F17) add to the variance at least kappa^2 (sum c n)^2 (`_burst_slope_e`), and
    sqrt(V + x) >= cos sqrt(V) + sin sqrt(x) for any angle. Of counts steadier than Poisson, at
    least the part I of V is left: what they take away, (1 - I) sum_i u_i^2 / N_i, is at most
    (1 - I) V, since u_i^2 / N_i <= sum_m (nu_m q + c_m)^2 n_im and (nu q + c)^2 n <= V_m(n).
    """

    def __init__(self, problem: Problem, overrun: float) -> None:
        steady_e = _least_dispersion_e(problem)
        self._z_e = max(NormalDist().inv_cdf(1 - overrun), 0.0) * np.sqrt(np.minimum(steady_e, 1.0))
        window_e = problem.edge_compute_e * problem.window_e
        setup_em, marginal_em = problem.edge_setup_em, problem.edge_marginal_em
        demand_em = most_asked_em(problem)
        if problem.curved:
            self._mean_em, marginal_em = least_work(problem, room(demand_em), self._z_e)
            self._variance_em, one_em = marginal_em**2, marginal_em
        else:
            most_em = _most_queries(demand_em, window_e, setup_em, marginal_em, self._z_e)
            none_em = np.exp(-most_em)
            batch_em = setup_em * -np.expm1(-most_em) / most_em
            self._mean_em = marginal_em + batch_em
            self._variance_em = (
                batch_em * setup_em * none_em + marginal_em**2
                + 2 * setup_em * marginal_em * none_em
            )  # fmt: skip
            one_em = setup_em + marginal_em
        # V <= L sum M and sum M + z sqrt(V) <= W bound sqrt(V) by a quadratic equation.
        self._fits_em = problem.edge_model_bytes_em <= room(problem.edge_memory_e)[:, None]
        largest_e = np.where(self._fits_em, one_em, 0.0).max(axis=1)
        half_e = 0.5 * self._z_e * largest_e
        self.root_e = np.sqrt(half_e**2 + largest_e * window_e) - half_e
        """the largest sqrt(V) of any plan, seconds"""
        slope_e = _burst_slope_e(problem)
        whole_e = np.maximum(np.hypot(self.root_e, slope_e * window_e), 1e-300)
        self._cosine_e = np.where(slope_e > 0, self.root_e / whole_e, 1.0)
        sine_e = np.where(slope_e > 0, slope_e * window_e / whole_e, 0.0)
        self._bursts_em = (self._z_e * sine_e * slope_e)[:, None] * marginal_em

    def whole(self) -> HeadroomRow:
        """The row for all plans."""
        return self.between(np.zeros_like(self.root_e), self.root_e)

    def halved(self, ranges: int) -> tuple[HeadroomRow, ...]:
        """Rows for that many ranges, each half as wide as the one above it, the last down to 0."""
        highs = [self.root_e * 0.5**number for number in range(ranges)]
        lows = [*(0.5 * high_e for high_e in highs[:-1]), np.zeros_like(self.root_e)]
        return tuple(self.between(low_e, high_e) for low_e, high_e in zip(lows, highs, strict=True))

    def between(self, low_e: FloatArray, high_e: FloatArray) -> HeadroomRow:
        """The row for plans with sqrt(V) in that range, seconds."""
        chord_e = self._z_e * self._cosine_e / np.maximum(high_e + low_e, 1e-300)
        spread_em = chord_e[:, None] * self._variance_em + self._bursts_em
        spread_em = np.where(self._fits_em, spread_em, 0.0) * UNDER
        # r - r^2 / (r + s) = r s / (r + s)
        constant_e = chord_e * high_e * low_e * UNDER
        cost = EdgeCost(np.zeros_like(spread_em), self._mean_em + spread_em)
        return HeadroomRow(cost, constant_e, low_e, high_e)


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
    its tasks.

    Its work M + z sqrt(V) may fall as n rises: with c = 0 it is nu from many queries on, and more
    than that at one query. So no crossing is sought. From the largest n down a cell of a grid is
    left out where even its least work overfills the window: M rises, and n q and p q rise and then
    fall, so both are least at an end of the cell.
    """
    most_em = np.maximum(demand_em, 1e-9) * (1 + 1e-9)
    grid_g = np.linspace(0.0, 1.0, CELLS + 1)
    kept_em = np.zeros(most_em.shape, dtype=int)
    z_em, window_em = z_e[:, None], window_e[:, None]
    for cell in range(CELLS):
        low_em, high_em = most_em * grid_g[cell], most_em * grid_g[cell + 1]
        none_low_em, none_high_em = np.exp(-low_em), np.exp(-high_em)
        batch_em = setup_em * (1 - none_low_em)
        mixed_em = np.minimum(none_low_em * (1 - none_low_em), none_high_em * (1 - none_high_em))
        both_em = np.minimum(low_em * none_low_em, high_em * none_high_em)
        variance_em = (
            setup_em**2 * mixed_em + marginal_em**2 * low_em + 2 * setup_em * marginal_em * both_em
        )
        work_em = batch_em + marginal_em * low_em + z_em * np.sqrt(variance_em)
        kept_em = np.where(work_em * UNDER <= window_em, cell + 1, kept_em)
    return np.maximum(most_em * grid_g[np.maximum(kept_em, 1)], 1e-9)
