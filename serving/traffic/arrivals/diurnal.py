"""How a rate follows the time of day."""

from __future__ import annotations

from math import ceil, pi

import numpy as np
from numpy.typing import NDArray

from cluster.arrivals import DiurnalArrivals
from serving.traffic.arrivals.step_path import StepPath, steps_of

__all__ = ["diurnal_factor"]

STEPS_A_DAY = 128


def diurnal_factor(process: DiurnalArrivals, duration_s: float) -> StepPath:
    """Factor of the mean rate over a phase; its mean over a whole day is 1.

    A sine is cut into 128 steps a day.
    """
    period_s = process.period_s or duration_s
    days = duration_s / period_s
    if process.factors is None:
        swing = process.swing or 0.0

        def factor(times_s_k: NDArray[np.float64]) -> NDArray[np.float64]:
            moved: NDArray[np.float64] = 1.0 + swing * np.cos(
                2 * pi * (times_s_k - process.peak_s) / period_s
            )
            return moved

        return steps_of(factor, duration_s, ceil(STEPS_A_DAY * days))
    parts = np.array(process.factors)
    part_s = period_s / len(parts)
    starts_s_k = np.asarray(np.arange(ceil(duration_s / part_s)) * part_s, dtype=np.float64)
    starts_s_k = starts_s_k[starts_s_k < duration_s]
    values_k = parts[np.arange(len(starts_s_k)) % len(parts)] / parts.mean()
    return StepPath(starts_s_k, values_k, duration_s)
