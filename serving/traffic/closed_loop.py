"""Callers who wait for their answer, think, and ask again.

What each of them asks next is drawn by the seed alone; only when he asks follows from the answers.
So two policies meet the same callers, with the same thoughts and questions in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.arrivals import ClosedLoop
from serving.traffic.arrivals.step_path import StepPath
from serving.traffic.arrivals.streams import Streams, Use

__all__ = ["Caller", "CallerGroup", "Question"]


@dataclass(frozen=True, slots=True)
class Question:
    """One query of a caller."""

    task: str
    image: int
    """index into the labelled images"""


@dataclass(frozen=True, slots=True, eq=False)
class CallerGroup:
    """The callers of one client in one phase."""

    client: str
    phase: int
    start_s: float
    """of the phase, in seconds from the start of the run"""
    process: ClosedLoop
    rates_qps: Mapping[str, StepPath]
    """by task; their ratio at a time is the mix"""
    images: Mapping[str, NDArray[np.int64]]
    """by task, those that have its label"""
    load: StepPath
    """factor of the number of callers over the phase"""
    streams: Streams

    @property
    def end_s(self) -> float:
        """When the phase ends, in seconds from the start of the run."""
        return self.start_s + self.load.duration_s

    @property
    def callers(self) -> list[Caller]:
        """Everybody who asks at some time of the phase."""
        most = round(self.process.callers * float(self.load.values_k.max()))
        return [Caller(self, number) for number in range(most)]


class Caller:
    """One caller. Times are seconds from the start of the run."""

    def __init__(self, group: CallerGroup, number: int) -> None:
        self.group = group
        self._number = number
        self._generator = group.streams.of(Use.CALLERS, group.client, str(number))
        self._walks: dict[str, list[int]] = {}

    def next_s(self, now_s: float) -> float | None:
        """When he asks next, if he begins to think at `now_s`; None if not in this phase."""
        present_s = self._present_from(max(now_s, self.group.start_s))
        if present_s is None:
            return None
        next_s = present_s + self.group.process.think_s * self._generator.standard_exponential()
        return float(next_s) if next_s < self.group.end_s else None

    def question(self, at_s: float) -> Question:
        """What he asks at `at_s`: a task by the mix of that time, its images in shuffled rounds."""
        tasks = sorted(self.group.rates_qps)
        into_s = np.array([at_s - self.group.start_s])
        rates_qps = np.array([self.group.rates_qps[task].at(into_s)[0] for task in tasks])
        below = np.cumsum(rates_qps)
        drawn = self._generator.random() * below[-1]
        task = tasks[min(int(np.searchsorted(below, drawn, side="right")), len(tasks) - 1)]
        walk = self._walks.setdefault(task, [])
        if not walk:
            walk += self._generator.permutation(self.group.images[task]).tolist()
        return Question(task, walk.pop())

    def _present_from(self, now_s: float) -> float | None:
        """The first moment from `now_s` on at which the load asks for so many callers."""
        group = self.group
        into_s = now_s - group.start_s
        if into_s >= group.load.duration_s:
            return None
        starts_s_k = group.load.starts_s_k
        first = int(np.searchsorted(starts_s_k, into_s, side="right")) - 1
        for k in range(first, len(starts_s_k)):
            if self._number < round(group.process.callers * float(group.load.values_k[k])):
                return max(now_s, group.start_s + float(starts_s_k[k]))
        return None
