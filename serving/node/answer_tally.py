"""What a client's answers took, counted by the way they came: enough for a median and a late share.

A query costs one look-up and two additions; nobody keeps the single times.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import NamedTuple

from serving.routing.routes import Target

__all__ = ["BOUNDS_S", "AnswerTally", "AnswerTotals", "AnswerWay"]

BOUNDS_S = tuple(round(0.002 * 1.4**step, 6) for step in range(28))
"""upper ends of the buckets, 2 ms to 18 s; a last bucket has what took longer"""


class AnswerWay(NamedTuple):
    """A task and who answered it."""

    task: str
    tier: str
    node: str
    model: str
    via: str
    """the edge that a cloud query passed, where the plan says so"""


class AnswerTotals(NamedTuple):
    """Answers of one way since the node started."""

    answers: int
    late: int
    """of these, after the bound that was promised of them"""
    spent_s: float
    """from their arrivals to their answers, added up"""
    bound_s: float
    """promised of the latest"""
    buckets: tuple[int, ...]
    """answers by time, for each of `BOUNDS_S` and what took longer"""


class _Way:
    __slots__ = ("bound_s", "buckets", "late", "spent_s")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS_S) + 1)
        self.late = 0
        self.spent_s = self.bound_s = 0.0


class AnswerTally:
    """Counts answers. To be used on one event loop."""

    def __init__(self) -> None:
        self._ways: dict[tuple[str, Target], _Way] = {}

    def add(self, task: str, target: Target, spent_s: float, bound_s: float) -> None:
        """One more answer; without a bound (0) it is never late."""
        way = self._ways.get((task, target))
        if way is None:
            way = self._ways[task, target] = _Way()
        way.buckets[bisect_left(BOUNDS_S, spent_s)] += 1
        way.spent_s += spent_s
        way.bound_s = bound_s
        if 0 < bound_s < spent_s:
            way.late += 1

    def totals(self) -> Mapping[AnswerWay, AnswerTotals]:
        """All answers so far, by way."""
        return {
            AnswerWay(task, target.tier, target.node, target.model, target.via): AnswerTotals(
                sum(way.buckets), way.late, way.spent_s, way.bound_s, tuple(way.buckets)
            )
            for (task, target), way in self._ways.items()
        }
