"""How long batches take, learnt while serving: nu + c b for each model, recent batches first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["BatchTotals", "LatencyModel"]

MEMORY = 0.9
"""what a batch still weighs in the fit once another has followed it"""
DOUBT = 0.1
"""spread of batch sizes, relative to their mean, below which nu cannot be told from c"""

UNKNOWN = 0.5
"""part of a batch's time that is taken to be marginal as long as nothing tells"""


class BatchTotals(NamedTuple):
    """All batches of a model so far."""

    batches: int
    queries: int
    spent_s: float


class _Fit:
    """What batches of a model took: counted, and as the fading sums of the fit (weights, sizes,
    times, sizes squared, sizes times times)."""

    __slots__ = ("batches", "queries", "spent_s", "sums")

    def __init__(self) -> None:
        self.batches = self.queries = 0
        self.spent_s = 0.0
        self.sums = (0.0, 0.0, 0.0, 0.0, 0.0)


class LatencyModel:
    """Device seconds of a batch by model and size. A model that never ran is expected to take none.

    The fit is least squares with exponentially fading weights. Where sizes hardly differ, nu and c
    can't be told apart, and it is drawn to half of the time for each: near the sizes seen that
    makes no difference, and far from them it is off by a factor of two at most.
    """

    def __init__(self) -> None:
        self._fits: dict[str, _Fit] = {}
        self._lines: dict[str, tuple[float, float]] = {}

    @property
    def totals(self) -> dict[str, BatchTotals]:
        """All batches so far, by model."""
        return {
            model: BatchTotals(fit.batches, fit.queries, fit.spent_s)
            for model, fit in self._fits.items()
        }

    def learn(self, model: str, size: int, spent_s: float) -> None:
        """Take in that a batch of `size` images of `model` took `spent_s`."""
        fit = self._fits.get(model)
        if fit is None:
            fit = self._fits[model] = _Fit()
        fit.batches += 1
        fit.queries += size
        fit.spent_s += spent_s
        w, b, t, bb, bt = fit.sums
        w, b, t = MEMORY * w + 1, MEMORY * b + size, MEMORY * t + spent_s
        bb, bt = MEMORY * bb + size * size, MEMORY * bt + size * spent_s
        fit.sums = (w, b, t, bb, bt)
        mean_b, mean_t = b / w, t / w
        spread = bb / w - mean_b * mean_b
        together = bt / w - mean_b * mean_t
        doubt = (DOUBT * mean_b) ** 2
        slope = (together + doubt * UNKNOWN * mean_t / mean_b) / (spread + doubt)
        marginal_s = min(max(slope, 0.0), mean_t / mean_b)
        self._lines[model] = (mean_t - marginal_s * mean_b, marginal_s)

    def batch_s(self, model: str, size: int) -> float:
        """Seconds that a batch of `size` images of `model` is expected to take."""
        setup_s, marginal_s = self._lines.get(model, (0.0, 0.0))
        return setup_s + marginal_s * size

    def work_s(self, waiting: Iterable[tuple[str, int]], max_batch: int) -> float:
        """Seconds that queued images (model, count) will take in batches of `max_batch`."""
        total_s = 0.0
        for model, count in waiting:
            setup_s, marginal_s = self._lines.get(model, (0.0, 0.0))
            total_s += -(-count // max_batch) * setup_s + count * marginal_s
        return total_s
