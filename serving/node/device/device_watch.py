"""Whether a device still answers: the decision, without threads or clocks.

A pass through a model can hang (a driver, a kernel, a library's lock), and then nothing raises. So
the event loop looks at the device every `LOOK_S` and counts how long the batch that runs now has
taken. `Executor` does what follows: it refuses the callers and says that it is out of order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

__all__ = ["LOOK_S", "DeviceHealth", "DeviceWatch", "Pass", "Periodic", "hang_bound_s"]

LOOK_S = 0.5
"""between two looks"""
HANG_FACTOR, HANG_FLOOR_S = 10.0, 5.0
"""a batch hangs that takes longer than so many times its estimate, and than so long"""


class DeviceHealth(StrEnum):
    """How a device is. `sentence` says it to people; all but `WELL` make a node unhealthy."""

    sentence: str

    def __new__(cls, word: str, sentence: str) -> DeviceHealth:
        """A word, and what it means."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.sentence = sentence
        return member

    WELL = "well", "the device answers"
    FAILING = "failing", "the device fails batch after batch"
    HUNG = "hung", "the device does not come back from a batch"
    LOST = "lost", "the device is gone, or lost to this process"
    DEAD = "dead", "the thread that drives the device has ended"

    @property
    def answers(self) -> bool:
        """Whether a batch that is begun now may come back."""
        return self in (DeviceHealth.WELL, DeviceHealth.FAILING)


def hang_bound_s(estimate_s: float) -> float:
    """After how many seconds a batch that was expected to take `estimate_s` is given up."""
    return max(HANG_FACTOR * estimate_s, HANG_FLOOR_S)


class Pass:
    """A batch on the device. The event loop sets `given_up`, the device's thread `ended`."""

    __slots__ = ("bound_s", "ended", "given_up", "jobs", "model")

    def __init__(self, model: str, jobs: Sequence[Any], bound_s: float) -> None:
        self.model = model
        self.jobs = jobs
        """all that wait for it, also those of another image size, which run after it"""
        self.bound_s = bound_s
        """seconds after which it is taken to hang"""
        self.given_up = False
        self.ended = False


class DeviceWatch:
    """Judges a device by looks, each of which is told which pass runs.

    Of the time of a pass only that between looks counts, and of a gap no more than two looks'
    worth: a process that was stopped for a minute, and goes on, has not computed for that minute.
    """

    def __init__(self, now_s: float) -> None:
        self._looked_s = now_s
        self._seen: Pass | None = None
        self._seen_s = 0.0
        self._hung: Pass | None = None

    def look(self, running: Pass | None, now_s: float) -> None:
        """Take in that `running` is on the device at `now_s`; None if nothing is."""
        passed_s = min(now_s - self._looked_s, 2 * LOOK_S)
        self._looked_s = now_s
        if running is not self._seen:
            self._seen, self._seen_s = running, 0.0
        elif running is not None:
            self._seen_s += passed_s
        if self._hung is not None and self._hung.ended:
            self._hung = None
        if running is not None and not running.ended and self._seen_s > running.bound_s:
            self._hung = running

    def health(self, ended: bool, failing: bool, lost: bool = False) -> DeviceHealth:
        """How the device is, where its thread has `ended` or not, batch after batch fails, and the
        last that was tried found it `lost`."""
        if ended:
            return DeviceHealth.DEAD
        if self._hung is not None:
            return DeviceHealth.HUNG
        if lost:
            return DeviceHealth.LOST
        return DeviceHealth.FAILING if failing else DeviceHealth.WELL


class Periodic:
    """Calls `call` every `period_s` on the event loop of its maker, until `stop`."""

    def __init__(self, period_s: float, call: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._period_s = period_s
        self._call = call
        self._arm()

    def stop(self) -> None:
        """Call no more."""
        self._timer.cancel()

    def _arm(self) -> None:
        self._timer = self._loop.call_later(self._period_s, self._turn)

    def _turn(self) -> None:
        self._arm()  # first: a call that raises must not be the last
        self._call()
