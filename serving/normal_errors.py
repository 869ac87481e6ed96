"""How far a figure may be off by chance, as a normal distribution has it."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

__all__ = ["NORMAL_95", "median_error"]

NORMAL_95 = 1.959964
"""standard deviations within which 95 % lie"""
SCATTER = 1.4826
"""standard deviation / median deviation"""
OF_MEDIAN = 1.2533
"""standard error of the median / that of the mean"""


def median_error(values: Sequence[float] | NDArray[np.float64], count: float) -> float:
    """Standard error of the median of `values`, of which `count` are independent, by their median
    deviation, which single outliers do not move."""
    found = np.asarray(values)
    deviation = float(np.median(np.abs(found - np.median(found))))
    return OF_MEDIAN * SCATTER * deviation / sqrt(count)
