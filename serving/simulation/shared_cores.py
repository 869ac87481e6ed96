"""The cores of a simulated host, which the devices of its nodes share evenly.

While more batches run than there are cores for, each takes as many times as long as there are
batches to a core's worth (`SharedHost.slowdown`). A query at a client's door takes a core, too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from profiling.shared_hosts import SharedHost
from serving.simulation.loop_clock import LoopClock

__all__ = ["CoreJob", "SharedCores"]


class CoreJob:
    """A batch that runs."""

    __slots__ = ("done", "left_s", "since_s", "timer")

    def __init__(self, left_s: float, since_s: float, done: Callable[[], None]) -> None:
        self.left_s = left_s
        """that it takes alone, at `since_s`"""
        self.since_s = since_s
        self.done = done
        self.timer: asyncio.TimerHandle | None = None


class SharedCores:
    """Runs jobs on `host`; on cores of their own, if left out. A query at a door takes a core for
    `door_s`. To be used on one event loop."""

    def __init__(
        self,
        host: SharedHost | None = None,
        clock: LoopClock | None = None,
        door_s: float = 0.0,
    ) -> None:
        self._host = host
        self._clock = clock or LoopClock()
        self._door_s = door_s
        self._running = 0
        """jobs and queries at doors"""
        self._slowdown = 1.0
        self._slowdowns: list[float] = [1.0]
        """by how many run"""
        self._jobs: set[CoreJob] = set()
        self._doors_s: deque[float] = deque()
        """when the queries that are counted at doors give their cores back"""
        self._door_timer: asyncio.TimerHandle | None = None

    def begin(self, work_s: float, done: Callable[[], None]) -> CoreJob:
        """Run what takes `work_s` alone, and call `done` after it."""
        clock = self._clock
        if self._host is None:
            job = CoreJob(work_s, clock(), done)
            job.timer = clock.loop.call_later(work_s, done)
            return job
        self._change(1)
        job = CoreJob(work_s, clock(), done)
        self._jobs.add(job)
        self._set_timer(job)
        self._watch_doors()
        return job

    def stop(self, job: CoreJob) -> float:
        """Take a job away; returns what it would still take alone."""
        left_s = job.left_s - (self._clock() - job.since_s) / self._slowdown
        assert job.timer is not None
        job.timer.cancel()
        job.timer = None
        self._jobs.discard(job)
        self._change(-1)
        return max(0.0, left_s)

    def occupy(self) -> None:
        """A query comes to a door, and takes a core whoever else does."""
        self._doors_s.append(self._clock() + self._door_s)
        self._change(1)

    def _change(self, more: int) -> None:
        """So many more run from now on, and so the others take longer or shorter."""
        if self._host is None:
            return
        now_s, doors_s = self._clock(), self._doors_s
        while doors_s and doors_s[0] <= now_s:
            doors_s.popleft()
            more -= 1
        self._running += more
        while self._running >= len(self._slowdowns):
            self._slowdowns.append(self._host.slowdown(len(self._slowdowns)))
        slowdown = self._slowdowns[self._running]
        if slowdown != self._slowdown:
            self._slow_by(slowdown, now_s)
        self._watch_doors()

    def _watch_doors(self) -> None:
        """Who leaves a door changes something only where jobs are slowed down; else it is enough to
        know of it at the next change."""
        if self._slowdown > 1.0 and self._doors_s and self._jobs and self._door_timer is None:
            self._door_timer = self._clock.loop.call_at(self._doors_s[0], self._leave_door)

    def _leave_door(self) -> None:
        self._door_timer = None
        self._change(0)

    def _slow_by(self, slowdown: float, now_s: float) -> None:
        for job in self._jobs:
            job.left_s = max(0.0, job.left_s - (now_s - job.since_s) / self._slowdown)
            job.since_s = now_s
        self._slowdown = slowdown
        for job in self._jobs:
            assert job.timer is not None
            job.timer.cancel()
            self._set_timer(job)

    def _set_timer(self, job: CoreJob) -> None:
        delay_s = job.left_s * self._slowdown
        job.timer = self._clock.loop.call_later(delay_s, self._end, job)

    def _end(self, job: CoreJob) -> None:
        job.timer = None  # which holds the job: what is left of both goes at once
        self._jobs.discard(job)
        self._change(-1)
        job.done()
