"""Arrivals with gaps of a gamma distribution, at rate 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["unit_gamma"]

CHUNK = 256


def unit_gamma(generator: np.random.Generator, shape: float, total: float) -> NDArray[np.float64]:
    """Arrivals in [0, total) whose gaps have mean 1 and the gamma shape `shape` (1 / cv²).

    The process has run for ever when it is looked at. So the first gap is what is left of a gap
    that 0 falls into; a long one is hit more often, and its length has shape `shape` + 1. Without
    this, arrivals would be too many at the start, by (cv² - 1) / 2.
    """
    if total <= 0:
        return np.empty(0)
    first = generator.gamma(shape + 1.0, 1.0 / shape) * generator.random()
    passed_n = np.array([first])
    while passed_n[-1] < total:
        gaps = generator.gamma(shape, 1.0 / shape, CHUNK)
        passed_n = np.concatenate([passed_n, passed_n[-1] + np.cumsum(gaps)])
    return passed_n[passed_n < total]
