"""Admission: a query that the device can no longer answer in time is refused when it arrives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster.topology import Batching

__all__ = ["Backlog", "backlog_limit_s"]

SMOOTHING = 0.2


def backlog_limit_s(batching: Batching, window_s: float) -> float:
    """Device seconds that may wait so that what is admitted is answered within 2 T_b.

    With gated windows a query waits for its window's end, at most T_b, so the work ahead of it
    may take another T_b; a work-conserving device may have 2 T_b of work ahead.
    """
    return window_s if batching is Batching.WINDOW else 2 * window_s


@dataclass
class Backlog:
    """Seconds of work that wait, from each model's recent device time per query."""

    limit_s: float
    per_query_s: dict[str, float] = field(default_factory=dict)

    def learn(self, model: str, per_query_s: float) -> None:
        """Take in what a batch of `model` took, per query."""
        known = self.per_query_s.get(model, per_query_s)
        self.per_query_s[model] = known + SMOOTHING * (per_query_s - known)

    def waiting_s(self, waiting: Mapping[str, int]) -> float:
        """Device seconds that the queued queries (model -> count) will take."""
        return sum(count * self.per_query_s.get(model, 0.0) for model, count in waiting.items())

    def admits(self, waiting: Mapping[str, int]) -> bool:
        """Whether one more query may be queued."""
        return self.waiting_s(waiting) <= self.limit_s
