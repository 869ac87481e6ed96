"""How many batches the queries of a window make: one a model, more where a node's largest is full.

Axis letters: e edge, m model.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, pdtrc

from planner.problem import FloatArray, Problem

__all__ = ["batches_em", "poisson_batches_em"]

ROUNDING = 1e-9
"""A batch overfull by less than this is not two: solvers fill batches to the brim."""


def batches_em(problem: Problem, queries_em: FloatArray) -> FloatArray:
    """Batches a window for a mean of `queries_em` queries, ceil(n / B); 0 where there are none."""
    filled_em = queries_em / problem.edge_max_batch_e[:, None]
    whole_em = np.ceil(filled_em * (1 - ROUNDING))
    return np.where(queries_em > 0, np.maximum(whole_em, 1.0), 0.0)


def poisson_batches_em(
    problem: Problem, queries_em: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean and variance of the number S of batches when queries N arrive at random with mean
    `queries_em`, and its covariance with N.

    S = sum_k 1[N > k B]; E S^2 = sum_k (2 k + 1) P(N > k B), Cov(S, N) = n sum_k P(N = k B).
    """
    largest_e = problem.edge_max_batch_e[:, None]
    some = queries_em > 0
    log_em = np.log(np.where(some, queries_em, 1.0))
    mean_em, square_em = np.zeros_like(queries_em), np.zeros_like(queries_em)
    covariance_em = np.zeros_like(queries_em)
    most_em = queries_em + 12 * np.sqrt(queries_em) + 20
    for k in range(int(np.max(most_em / largest_e, initial=0.0)) + 1):
        first_em = np.broadcast_to(k * largest_e if k else np.zeros_like(largest_e), some.shape)
        open_em = some & (first_em <= most_em)
        place_em = np.where(open_em, first_em, 0.0)
        beyond_em = np.where(open_em, pdtrc(place_em, queries_em), 0.0)
        exactly_em = np.exp(place_em * log_em - queries_em - gammaln(place_em + 1))
        mean_em += beyond_em
        square_em += (2 * k + 1) * beyond_em
        covariance_em += np.where(open_em, queries_em * exactly_em, 0.0)
    return mean_em, np.maximum(square_em - mean_em**2, 0.0), covariance_em
