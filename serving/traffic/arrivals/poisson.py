"""Poisson arrivals at rate 1; `StepPath.times_s` stretches them to any rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["unit_poisson"]

CHUNK = 64


def unit_poisson(generator: np.random.Generator, total: float) -> NDArray[np.float64]:
    """Arrivals in [0, total), by exponential gaps of mean 1 drawn in order.

    A larger `total` begins with the same arrivals.
    """
    if total <= 0:
        return np.empty(0)
    passed_n = np.empty(0)
    while not len(passed_n) or passed_n[-1] < total:
        last = passed_n[-1] if len(passed_n) else 0.0
        more = last + np.cumsum(generator.standard_exponential(CHUNK))
        passed_n = np.concatenate([passed_n, more])
    return passed_n[passed_n < total]
