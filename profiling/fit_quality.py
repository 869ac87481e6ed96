"""How good the line nu + c b is: intervals of nu and c, R2, the worst size, and whether it bends.

The intervals are those of the relative least squares of `profiling.fit`, by the t distribution over
the sizes: what a size lies off the line counts as noise, be it noise of the clock or a law that is
no line. They say nothing where only two sizes were run.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from profiling.batch_latency import BatchLatency, Timed

__all__ = ["FitQuality", "quality_of"]

BEND = 0.05
"""relative distance of a size from the line beyond which the law is said to bend, if the line lies
outside the interval of that size's median as well"""
UPPER = 0.975
Ends = tuple[float | None, float | None]


class FitQuality(Timed):
    """Of the line of a profile."""

    setup_low_s: float | None = Field(default=None, ge=0, description="95 % interval of nu")
    setup_high_s: float | None = Field(default=None, ge=0)
    marginal_low_s: float | None = Field(default=None, ge=0, description="95 % interval of c")
    marginal_high_s: float | None = Field(default=None, ge=0)
    r2: float = Field(le=1, description="share of the variance of medians that the line explains")
    worst: float = Field(ge=0, description="largest relative distance of a median from the line")
    worst_batch: int = Field(ge=1, description="the size with that distance")
    bends: bool = Field(description="whether latency is no line, beyond what noise explains")


def quality_of(latency: Sequence[BatchLatency], setup_s: float, marginal_s: float) -> FitQuality:
    """How well the line of `setup_s` and `marginal_s` says what the batches of `latency` take."""
    sizes_b = np.array([float(entry.batch) for entry in latency])
    median_b = np.array([entry.p50_s for entry in latency])
    line_b = setup_s + marginal_s * sizes_b
    off_b = np.abs(line_b / median_b - 1.0)
    outside_b = np.array(
        [
            not entry.interval_s[0] <= line_s <= entry.interval_s[1]
            for entry, line_s in zip(latency, line_b, strict=True)
        ]
    )
    variance = float(np.sum((median_b - median_b.mean()) ** 2))
    missed = float(np.sum((median_b - line_b) ** 2))
    worst = int(np.argmax(off_b))
    setup_s_ends, marginal_s_ends = _intervals(sizes_b, median_b, setup_s, marginal_s)
    return FitQuality(
        setup_low_s=setup_s_ends[0],
        setup_high_s=setup_s_ends[1],
        marginal_low_s=marginal_s_ends[0],
        marginal_high_s=marginal_s_ends[1],
        r2=1.0 - missed / variance if variance > 0 else 0.0,
        worst=float(off_b[worst]),
        worst_batch=latency[worst].batch,
        bends=bool(np.any(outside_b & (off_b > BEND))),
    )


def _intervals(
    sizes_b: np.ndarray, median_b: np.ndarray, setup_s: float, marginal_s: float
) -> tuple[Ends, Ends]:
    free = len(sizes_b) - 2
    if free < 1:
        return (None, None), (None, None)
    from scipy.special import stdtrit  # not by nodes, which read profiles and fit none

    columns = np.column_stack([np.ones_like(sizes_b), sizes_b]) / median_b[:, None]
    missed_b = 1.0 - columns @ np.array([setup_s, marginal_s])
    covariance = float(missed_b @ missed_b) / free * np.linalg.inv(columns.T @ columns)
    half_s = float(stdtrit(free, UPPER)) * np.sqrt(np.diag(covariance))
    nu_s, c_s = float(half_s[0]), float(half_s[1])
    return (
        (max(0.0, setup_s - nu_s), setup_s + nu_s),
        (max(0.0, marginal_s - c_s), marginal_s + c_s),
    )
