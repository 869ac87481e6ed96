"""95 % intervals over seeds, by resampling the seeds: nothing is assumed about their scatter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Interval", "mean_interval", "ratio_interval"]

RESAMPLES = 10_000
TAILS = (0.025, 0.975)


class Interval(NamedTuple):
    """A figure over all seeds, and where 95 % of its resamples lie."""

    value: float
    low: float
    high: float


def mean_interval(values: Sequence[float]) -> Interval:
    """Of the mean of `values`, one a seed. Raises `ValueError` for none."""
    return ratio_interval(values, [1.0] * len(values))


def ratio_interval(values: Sequence[float], base: Sequence[float]) -> Interval:
    """Of the sum of `values` ÷ the sum of `base`, where both have one entry a seed, in one order.

    Seeds are drawn in pairs: how busy a seed was is in both entries and cancels out. Raises
    `ValueError` for no values, or for as many values as there are not in `base`.
    """
    value_n, base_n = np.asarray(values, dtype=float), np.asarray(base, dtype=float)
    if not len(value_n) or value_n.shape != base_n.shape:
        raise ValueError(f"expected pairs, got {len(value_n)} values and {len(base_n)} to compare")
    drawn_rn = np.random.default_rng(0).integers(len(value_n), size=(RESAMPLES, len(value_n)))
    ratio_r = value_n[drawn_rn].sum(axis=1) / base_n[drawn_rn].sum(axis=1)
    low, high = np.quantile(ratio_r, TAILS)
    return Interval(float(value_n.sum() / base_n.sum()), float(low), float(high))
