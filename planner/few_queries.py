"""The work of a window with few queries, exactly: a compound Poisson tail.

With half a query a window the normal form of F11 says little: most windows are empty, and the rest
have one batch or two. Then the few outcomes are counted one by one.
"""

from __future__ import annotations

import numpy as np
from scipy.special import pdtr

from planner.problem import FloatArray

__all__ = ["FEW_QUERIES", "work_exceeded"]

FEW_QUERIES = 1.0
"""Mean queries a window up to which an edge is looked at exactly."""
DUST = 1e-7
"""Outcomes less likely than this are not followed; they count as more work than any other."""


def work_exceeded(
    setup_m: FloatArray, marginal_m: FloatArray, queries_m: FloatArray, largest: float,
    overrun: float,
) -> float:  # fmt: skip
    """The least work (seconds) that a window exceeds with probability `overrun` at most.

    Counts of model m are Poisson with mean `queries_m`, in batches of `largest` queries at most.
    Example: one model, nu = 20 ms, c = 1 ms, half a query a window. 61 % of windows are empty, 30 %
    have one query, 7.6 % two, 1.4 % more: at 5 % the answer is 22 ms.
    """
    work_j, chance_j = np.zeros(1), np.ones(1)
    for setup, marginal, queries in zip(setup_m, marginal_m, queries_m, strict=True):
        most = int(queries + 12 * np.sqrt(queries) + 20)
        count = np.arange(most)
        chance = np.diff(pdtr(count, queries), prepend=0.0)
        kept = chance > DUST
        batches = np.maximum(np.ceil(count / largest), count > 0)
        own = setup * batches + marginal * count
        work_j = np.add.outer(work_j, own[kept]).ravel()
        chance_j = np.multiply.outer(chance_j, chance[kept]).ravel()
        kept = chance_j > DUST
        work_j, chance_j = work_j[kept], chance_j[kept]
    order = np.argsort(work_j, kind="stable")
    within = np.cumsum(chance_j[order])
    enough = np.flatnonzero(within >= 1 - overrun)
    return float(work_j[order][enough[0]]) if len(enough) else np.inf
