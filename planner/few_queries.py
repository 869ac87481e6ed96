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


def work_exceeded(work_mk: FloatArray, queries_m: FloatArray, overrun: float) -> float:
    """The least work (seconds) that a window exceeds with probability `overrun` at most.

    Counts of model m are Poisson with mean `queries_m`; `work_mk` are the seconds of k queries of
    it, from none on. Example: one model, nu = 20 ms, c = 1 ms, half a query a window. 61 % of
    windows are empty, 30 % have one query, 7.6 % two, 1.4 % more: at 5 % the answer is 22 ms.
    """
    work_j, chance_j = np.zeros(1), np.ones(1)
    count_k = np.arange(work_mk.shape[1])
    for own_k, queries in zip(work_mk, queries_m, strict=True):
        chance_k = np.diff(pdtr(count_k, queries), prepend=0.0)
        kept = chance_k > DUST
        work_j = np.add.outer(work_j, own_k[kept]).ravel()
        chance_j = np.multiply.outer(chance_j, chance_k[kept]).ravel()
        kept = chance_j > DUST
        work_j, chance_j = work_j[kept], chance_j[kept]
    order = np.argsort(work_j, kind="stable")
    within = np.cumsum(chance_j[order])
    enough = np.flatnonzero(within >= 1 - overrun)
    return float(work_j[order][enough[0]]) if len(enough) else np.inf
