"""How far times lie from their median: a few values that are equally likely.

Example: of a thousand batches half take 10 ms, and every tenth 14 ms or more. Twenty values of
batch ÷ median, of which 1.00 is in the middle and the upper two are over 1.4, say that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEAST_WEIGHT", "equally_likely"]

COUNT = 40
"""values, each of which stands for a fortieth of what was seen"""
LEAST_WEIGHT = 40.0
"""of what was seen, below which it says nothing"""


def equally_likely(
    value_q: NDArray[np.float64], weight_q: NDArray[np.float64] | None = None
) -> tuple[float, ...]:
    """`COUNT` rising values that scatter as `value_q` do, each counted by its weight (1, if left
    out); none where less than `LEAST_WEIGHT` was seen."""
    weights_q = np.ones(len(value_q)) if weight_q is None else weight_q
    seen = float(weights_q.sum())
    if seen < LEAST_WEIGHT:
        return ()
    order = np.argsort(value_q)
    passed_q = np.cumsum(weights_q[order]) / seen
    middles = (np.arange(COUNT) + 0.5) / COUNT
    place = np.minimum(np.searchsorted(passed_q, middles), len(order) - 1)
    return tuple(float(f"{value:.4g}") for value in value_q[order][place])
