"""How long an edge's batches take: nu + c b, or what was measured for their size (F15).

A curve is linear between the sizes that were measured, and goes on with its last slope. Below one
query it goes on with its first, to 0 at least: that is what F9 charges a model that gets half a
query a window. More queries than the edge's largest batch B_e make full batches and a rest.

Example: 10 ms for one query, 12 ms for two, 24 ms for four. A model with three queries a window
takes 18 ms, one with half a query 9 ms. With B_e = 2 the three take 12 + 10 ms.

Axis letters: e edge, m model, z measured size, k number of queries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from planner.batches import batches_em, poisson_batches_em
from planner.problem import FloatArray, Problem

__all__ = [
    "PoissonWork",
    "first_batch_em",
    "mean_work_em",
    "most_queries",
    "one_query_em",
    "pieces",
    "poisson_chance_nk",
    "poisson_work",
    "seconds_at",
    "work_of_counts",
]

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PoissonWork:
    """The work of a window under Poisson arrivals, by edge and model."""

    mean_em: FloatArray
    """seconds"""
    variance_em: FloatArray
    """seconds squared"""
    rise_em: FloatArray
    """seconds that one more query adds to a window in the mean: Cov(work, queries) / queries"""


def pieces(problem: Problem) -> tuple[FloatArray, FloatArray]:
    """Ends of the pieces of every curve: sizes (b) from 0 on, and seconds (e x m x b) there."""
    sizes_z, curve_emz = problem.curve_sizes_z, problem.edge_curve_emz
    first_em = curve_emz[:, :, 0]
    slope_em = (curve_emz[:, :, 1] - first_em) / (sizes_z[1] - sizes_z[0])
    none_em = np.maximum(first_em - slope_em, 0.0)
    return np.append(0.0, sizes_z), np.concatenate([none_em[:, :, None], curve_emz], axis=2)


def seconds_at(sizes_z: FloatArray, curve_nz: FloatArray, size_n: FloatArray) -> FloatArray:
    """Curves (n x z, of one axis or more) at a size (n) of each, which need not be whole."""
    low_n = np.searchsorted(sizes_z, size_n, side="right") - 1
    low_n = np.clip(low_n, 0, len(sizes_z) - 2)
    part_n = (size_n - sizes_z[low_n]) / (sizes_z[low_n + 1] - sizes_z[low_n])
    start_n = np.take_along_axis(curve_nz, low_n[..., None], axis=-1)[..., 0]
    end_n = np.take_along_axis(curve_nz, low_n[..., None] + 1, axis=-1)[..., 0]
    return np.asarray(start_n + part_n * (end_n - start_n))


def first_batch_em(problem: Problem) -> FloatArray:
    """Seconds that a model's first batch takes a window, however few its queries: nu, or where the
    curve begins."""
    return pieces(problem)[1][:, :, 0] if problem.curved else problem.edge_setup_em


def one_query_em(problem: Problem) -> FloatArray:
    """Seconds of a batch of one query: nu + c, or as measured."""
    if problem.curved:
        return problem.edge_curve_emz[:, :, 0]
    return np.asarray(problem.edge_setup_em + problem.edge_marginal_em)


def mean_work_em(problem: Problem, queries_em: FloatArray) -> FloatArray:
    """Seconds that a mean of `queries_em` queries brings a window (F9)."""
    number_em = batches_em(problem, queries_em)
    if not problem.curved:
        work_em = problem.edge_setup_em * number_em
        work_em += problem.edge_marginal_em * queries_em
        return work_em
    sizes_z, curve_emz = pieces(problem)
    full_em = np.maximum(number_em - 1.0, 0.0)
    largest_em = np.broadcast_to(_largest_e(problem)[:, None], queries_em.shape)
    work_em = full_em * seconds_at(sizes_z, curve_emz, largest_em)
    work_em += seconds_at(sizes_z, curve_emz, queries_em - full_em * largest_em)
    return np.where(queries_em > 0, work_em, 0.0)


def work_of_counts(problem: Problem, e: int, models: IntArray, counts_k: IntArray) -> FloatArray:
    """Seconds (m x k) that `counts_k` queries of one of `models` in a window take edge `e`."""
    number_k = np.ceil(counts_k / problem.edge_max_batch_e[e])
    number_k = np.where(counts_k > 0, np.maximum(number_k, 1.0), 0.0)
    if not problem.curved:
        setup_m, marginal_m = problem.edge_setup_em[e, models], problem.edge_marginal_em[e, models]
        return np.asarray(setup_m[:, None] * number_k + marginal_m[:, None] * counts_k)
    sizes_z, curve_emz = pieces(problem)
    curve_mb = curve_emz[e, models]
    full_k = np.maximum(number_k - 1.0, 0.0)
    largest = float(_largest_e(problem)[e])
    full_m = seconds_at(sizes_z, curve_mb, np.full(len(models), largest))
    rest_mk = np.broadcast_to(counts_k - full_k * largest, (len(models), len(counts_k)))
    work_mk = full_m[:, None] * full_k
    work_mk += seconds_at(sizes_z, curve_mb[:, None, :], rest_mk)
    return np.where(counts_k > 0, work_mk, 0.0)


def most_queries(queries: float) -> int:
    """Of Poisson counts with this mean, more than so many never come."""
    return int(queries + 12 * np.sqrt(queries) + 20)


def poisson_chance_nk(queries_n: FloatArray, counts_k: IntArray) -> FloatArray:
    """Probability (n x k) of each count when `queries_n` come in the mean."""
    mean_n = queries_n[:, None]
    log_n = np.log(np.where(mean_n > 0, mean_n, 1.0))
    chance_nk = np.exp(counts_k * log_n - mean_n - gammaln(counts_k + 1.0))
    return np.asarray(np.where(mean_n > 0, chance_nk, counts_k == 0))


def poisson_work(problem: Problem, queries_em: FloatArray) -> PoissonWork:
    """Moments of a window's work when queries arrive at random with mean `queries_em`.

    Of a line they are those of the number of batches (`poisson_batches_em`), of a curve they are
    summed over counts. As Cov(f(N), N) = n E(f(N + 1) - f(N)), one more query adds a sum too.
    """
    if problem.curved:
        return _summed_work(problem, queries_em)
    setup_em, marginal_em = problem.edge_setup_em, problem.edge_marginal_em
    number_em, spread_em, together_em = poisson_batches_em(problem, queries_em)
    variance_em = setup_em**2 * spread_em + marginal_em**2 * queries_em
    variance_em += 2 * setup_em * marginal_em * together_em
    # nu Cov(batches, queries) / n is nu (1 - p) where a batch is never full, and right where it is.
    ratio_em = np.divide(
        together_em, queries_em, out=np.zeros_like(queries_em), where=queries_em > 0
    )
    return PoissonWork(
        setup_em * number_em + marginal_em * queries_em,
        variance_em,
        setup_em * ratio_em + marginal_em,
    )


def _summed_work(problem: Problem, queries_em: FloatArray) -> PoissonWork:
    mean_em, variance_em, rise_em = (np.zeros_like(queries_em) for _ in range(3))
    for e in np.flatnonzero((queries_em > 0).any(axis=1)):
        models = np.flatnonzero(queries_em[e] > 0)
        queries_m = queries_em[e, models]
        counts_k = np.arange(most_queries(float(queries_m.max())) + 1)
        work_mk = work_of_counts(problem, int(e), models, counts_k)
        chance_mk = poisson_chance_nk(queries_m, counts_k[:-1])
        now_mk = work_mk[:, :-1]
        mean_m = (chance_mk * now_mk).sum(axis=1)
        mean_em[e, models] = mean_m
        variance_em[e, models] = (chance_mk * (now_mk - mean_m[:, None]) ** 2).sum(axis=1)
        rise_em[e, models] = (chance_mk * np.diff(work_mk, axis=1)).sum(axis=1)
    return PoissonWork(mean_em, variance_em, rise_em)


def _largest_e(problem: Problem) -> FloatArray:
    """B_e; 0 where there is none, which no batch then is full of."""
    largest_e = problem.edge_max_batch_e
    return np.where(np.isfinite(largest_e), largest_e, 0.0)
