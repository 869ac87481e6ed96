"""F11: the work of a window that arrivals exceed in a share delta of windows, Poisson or burstier.

With n_m queries a window for model m, p_m = 1 - exp(-n_m) and Poisson arrivals, the work has

    mean      sum_m nu_m p_m + c_m n_m
    variance  sum_m nu_m^2 p_m (1 - p_m) + c_m^2 n_m + 2 nu_m c_m n_m (1 - p_m).

Where batches take what was measured (F15), both are sums over the counts of each model
(`batch_work`), and nu_m (1 - p_m) + c_m below is E(L(N + 1) - L(N)), L(N) the time of N queries.

A client whose counts have variance I times their mean (F17) sends its bursts along: when it has x
queries more than its mean N, the share of each of its routes has more in proportion. Its work rises
by u x / N, with u = sum_m (nu_m (1 - p_m) + c_m) n_m over its own queries, so the variance grows by
(I - 1) u^2 / N. For one client that sends all its queries, N = n: that is (I - 1) u^2 / n.

Where the rates of any two clients have correlation rho, and client i alone would add the variance
x_i, two of them add 2 rho sqrt(x_i x_k) more: sum_i x_i + rho ((sum_i sqrt(x_i))^2 - sum_i x_i).
Ten clients that are alike add 10 x if each bursts alone, and 100 x if all burst at once.

Example: 16 queries a window at 10 ms each are 160 ms of work with a deviation of 40 ms. With I = 4
the deviation is 80 ms: a burst of 24 queries instead of 16 is as likely as one of 20 was.

Axis letters: e edge, a attachment, m model.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from planner.allocation import Allocation
from planner.attachments import by_edge
from planner.batch_work import most_queries, one_query_em, poisson_work, work_of_counts
from planner.few_queries import FEW_QUERIES, work_exceeded
from planner.fits import room
from planner.problem import FloatArray, Problem

__all__ = ["burst_variance_e", "holds_one_em", "window_work_e"]


def window_work_e(problem: Problem, allocation: Allocation, overrun: float) -> FloatArray:
    """Seconds of work that a window brings each edge, exceeded in a share `overrun` of windows.

    Mean + z_delta sqrt(variance), as if the work were normal. It never is less than one batch of
    one query of any model in use (nu + c), and where an edge gets so few queries that the normal
    form says little (`FEW_QUERIES`), never less than the exact share for Poisson arrivals.
    """
    queries_em = problem.window_e[:, None] * allocation.edge_rate_em(problem)
    work = poisson_work(problem, queries_em)
    variance_e = work.variance_em.sum(axis=1) + _window_bursts_e(problem, allocation, work.rise_em)
    deviations = NormalDist().inv_cdf(1 - overrun)
    work_e = work.mean_em.sum(axis=1) + deviations * np.sqrt(np.maximum(variance_e, 0.0))
    window_e = problem.edge_compute_e * problem.window_e
    used_em = queries_em > 0
    for e in np.flatnonzero(used_em.any(axis=1) & (queries_em.sum(axis=1) <= FEW_QUERIES)):
        models = np.flatnonzero(used_em[e])
        queries_m = queries_em[e, models]
        counts_k = np.arange(most_queries(float(queries_m.max())))
        work_mk = work_of_counts(problem, int(e), models, counts_k)
        work_e[e] = max(work_e[e], work_exceeded(work_mk, queries_m, overrun))
    one_e = np.where(used_em, one_query_em(problem), 0.0).max(axis=1)
    # A batch that fits (`fits`) is no longer than the window.
    whole_e = (one_e > window_e) & (one_e <= room(window_e))
    return np.asarray(np.maximum(work_e, np.where(whole_e, window_e, one_e)))


def holds_one_em(problem: Problem) -> np.ndarray:
    """Whether a batch of one query of m fits the window of e."""
    window_e = problem.edge_compute_e * problem.window_e
    return np.asarray(one_query_em(problem) <= room(window_e)[:, None])


def burst_variance_e(problem: Problem, alone_a: FloatArray) -> FloatArray:
    """F17: what the bursts of all clients add to a variance at each edge. `alone_a` is what those
    of the client of attachment a alone add there, in the same unit; clients steadier than Poisson
    (below 0) have no bursts to share."""
    total_e = by_edge(problem, alone_a)
    if problem.burst_correlation == 0:
        return total_e
    bursts_a = np.maximum(alone_a, 0.0)
    common_e = by_edge(problem, np.sqrt(bursts_a)) ** 2 - by_edge(problem, bursts_a)
    return np.asarray(total_e + problem.burst_correlation * np.maximum(common_e, 0.0))


def _window_bursts_e(problem: Problem, allocation: Allocation, rise_em: FloatArray) -> FloatArray:
    """F17: what dispersion adds to the variance of a window's work (less than 0 below Poisson)."""
    excess_c = problem.dispersion_c - 1
    if not excess_c.any():
        return np.zeros(len(problem.edges))
    c, e = problem.client_of_a, problem.edge_of_a
    sent_am = np.einsum("at,atm->am", problem.load_ct[c], allocation.edge_atm)
    work_a = problem.window_e[e] * (sent_am * rise_em[e]).sum(axis=1)
    mean_a = problem.window_e[e] * problem.load_ct[c].sum(axis=1)
    variance_a = np.divide(work_a**2, mean_a, out=np.zeros_like(mean_a), where=mean_a > 0)
    return burst_variance_e(problem, excess_c[c] * variance_a)
