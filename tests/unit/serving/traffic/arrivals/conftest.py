"""Counts of arrivals, for tests of the laws that they follow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

Dispersion = Callable[[NDArray[np.float64], float, float], float]


@pytest.fixture
def dispersion() -> Dispersion:
    """(times, duration, bin) -> variance ÷ mean of the counts in bins of equal length."""

    def measure(times_s: NDArray[np.float64], duration_s: float, bin_s: float) -> float:
        bins = int(duration_s / bin_s)
        counts = np.histogram(times_s, bins=bins, range=(0.0, bins * bin_s))[0]
        return float(counts.var(ddof=1) / counts.mean())

    return measure
