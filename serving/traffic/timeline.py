"""How a run went over time: the same measures as the summary, in bins of scheduled time.

Axes: k = bin.
"""

from __future__ import annotations

import numpy as np
from pydantic import model_validator

from cluster.document import FrozenModel
from serving.system import Outcome
from serving.traffic.measurement import Measurements

__all__ = ["Timeline", "bin_timeline"]


class Timeline(FrozenModel):
    """Equal bins over a run. A bin without queries has accuracy None."""

    bin_s: float
    queries: tuple[int, ...]
    accuracy: tuple[float | None, ...]
    """sum of scores / queries of the bin; refused and failed count 0"""
    shed_share: tuple[float | None, ...]
    latency_p95_s: tuple[float | None, ...]
    """of the bin's answered queries"""

    @model_validator(mode="after")
    def _check(self) -> Timeline:
        lengths = {len(self.queries), len(self.accuracy), len(self.shed_share)}
        if lengths != {len(self.latency_p95_s)}:
            raise ValueError("the columns of a timeline differ in length")
        return self

    @property
    def middles_s(self) -> tuple[float, ...]:
        """Seconds from the start to the middle of each bin."""
        return tuple((k + 0.5) * self.bin_s for k in range(len(self.queries)))


def bin_timeline(measurements: Measurements, bin_s: float) -> Timeline:
    """Bins of `bin_s` seconds of scheduled time over the whole run.

    Raises `ValueError` if `bin_s` is not positive.
    """
    if bin_s <= 0:
        raise ValueError(f"bin_s must be positive, got {bin_s}")
    bins = max(1, int(np.ceil(measurements.run.duration_s / bin_s - 1e-9)))
    bin_q = np.minimum((measurements.scheduled_s / bin_s).astype(int), bins - 1)
    queries_k = np.bincount(bin_q, minlength=bins)
    shed = measurements.outcome == Outcome.SHED
    shed_k = np.bincount(bin_q, weights=shed.astype(float), minlength=bins)
    score = np.where(measurements.answered, measurements.score, 0.0)
    score_k = np.bincount(bin_q, weights=score, minlength=bins)
    p95: list[float | None] = []
    for k in range(bins):
        inside = measurements.latency_s[(bin_q == k) & measurements.answered]
        p95.append(float(np.quantile(inside, 0.95)) if len(inside) else None)
    return Timeline(
        bin_s=bin_s,
        queries=tuple(int(count) for count in queries_k),
        accuracy=tuple(
            float(s / n) if n else None for s, n in zip(score_k, queries_k, strict=True)
        ),
        shed_share=tuple(
            float(s / n) if n else None for s, n in zip(shed_k, queries_k, strict=True)
        ),
        latency_p95_s=tuple(p95),
    )
