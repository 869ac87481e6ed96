"""Answers that were scored against labels: accuracy and latency as the callers had them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.traffic.measurement import Measurements

__all__ = ["LatencyFigures", "Scored"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LatencyFigures:
    """Of the answers of one tier in a stretch of time."""

    answers: int
    p50_s: float
    p95_s: float
    bound_s: float
    """the largest that was promised of them"""
    within_share: float


@dataclass(frozen=True, eq=False)
class Scored:
    """The rows of a run, whose times count from `offset_s` after the start of the recording."""

    rows: Measurements
    offset_s: float = 0.0

    def accuracy(self, from_s: float, to_s: float) -> tuple[float, dict[str, float], int] | None:
        """Mean score of the queries that were due in (from, to] and done by then: over all, by
        task, and how many there were. Refused and failed ones count 0. None for none."""
        rows = self.rows
        due_s, done_s = rows.scheduled_s + self.offset_s, rows.done_s + self.offset_s
        inside = (due_s > from_s) & (due_s <= to_s) & (done_s <= to_s)
        if not inside.any():
            return None
        score = np.where(rows.answered[inside], rows.score[inside], 0.0)
        task = rows.task[inside]
        by_task = {str(name): float(score[task == name].mean()) for name in np.unique(task)}
        return float(score.mean()), by_task, len(score)

    def latency(self, from_s: float, to_s: float) -> dict[str, LatencyFigures]:
        """By tier, of the answers that came in (from, to]."""
        rows = self.rows
        done_s = rows.done_s + self.offset_s
        inside = rows.answered & (done_s > from_s) & (done_s <= to_s)
        found = {}
        for tier in np.unique(rows.tier[inside]):
            of_tier = inside & (rows.tier == tier)
            p50_s, p95_s = np.quantile(rows.latency_s[of_tier], [0.5, 0.95])
            found[str(tier)] = LatencyFigures(
                answers=int(of_tier.sum()),
                p50_s=float(p50_s),
                p95_s=float(p95_s),
                bound_s=float(rows.bound_s[of_tier].max()),
                within_share=float(rows.in_time[of_tier].mean()),
            )
        return found

    def accuracy_series(self, edges_s: Sequence[float]) -> list[float | None]:
        """Mean score of the queries that were due in each bin; None where there are none."""
        due_s = self.rows.scheduled_s + self.offset_s
        score = np.where(self.rows.answered, self.rows.score, 0.0)
        count, _ = np.histogram(due_s, edges_s)
        total, _ = np.histogram(due_s, edges_s, weights=score)
        return [
            float(t / c) if c else None for t, c in zip(total.tolist(), count.tolist(), strict=True)
        ]
