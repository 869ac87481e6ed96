"""The cores of a simulated host, which the devices of its nodes share evenly.

While more batches run than there are cores for, each takes as many times as long as there are
batches to a core's worth (`SharedHost.slowdown`). A query at a client's door takes a core, too.
"""

from __future__ import annotations

import asyncio
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
    """Runs jobs on `host`; on cores of their own, if left out. To be used on one event loop."""

    def __init__(self, host: SharedHost | None = None, clock: LoopClock | None = None) -> None:
        self._host = host
        self._clock = clock or LoopClock()
        self._running = 0
        self._slowdown = 1.0
        self._jobs: set[CoreJob] = set()

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
        return job

    def stop(self, job: CoreJob) -> float:
        """Take a job away; returns what it would still take alone."""
        left_s = job.left_s - (self._clock() - job.since_s) / self._slowdown
        assert job.timer is not None
        job.timer.cancel()
        self._jobs.discard(job)
        self._change(-1)
        return max(0.0, left_s)

    def occupy(self, seconds: float) -> None:
        """Take a core for so long, whoever else does."""
        self._change(1)
        self._clock.loop.call_later(seconds, self._change, -1)

    def _change(self, more: int) -> None:
        """So many more run from now on, and so the others take longer or shorter."""
        if self._host is None:
            return
        self._running += more
        slowdown = self._host.slowdown(self._running)
        if slowdown == self._slowdown:
            return
        now_s = self._clock()
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
        self._jobs.discard(job)
        self._change(-1)
        job.done()
