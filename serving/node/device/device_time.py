"""When a device begins its batches and when they are done: in the host's time, or in that of a
device that the host emulates.

An executor calls `begin` before each batch and `end` after it, on the device's thread. `HostTime`
only looks at the clock. `EmulatedTime` has `end` return when the emulated device would be done, so
the host has to be the faster of the two; it counts the batches for which it was not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

__all__ = ["LATE_BY", "LATE_BY_WINDOW", "DeviceTime", "EmulatedTime", "HostTime", "PassTime"]

LEAD_STEP_S, MOST_LEAD_S = 1e-5, 1e-3
"""by which the lead of a hand-over grows after one that came late, and falls after one that came
early: so it finds their median"""
LONGEST_HAND_OVER_S = 0.005
"""for which the next batch waits at most"""
LATE_BY = 0.1
LATE_BY_WINDOW = 0.01
"""of a batch's time, or of the node's window if that is more: by so much a batch that was computed
in time may be handed over late before it counts. Threads are woken late, by milliseconds on a busy
host. That does not move when the device begins its next batch, and uses up half a hundredth of a
query's bound of two windows."""


class PassTime(NamedTuple):
    """When a batch began on the device's clock, and the seconds that it took."""

    started_s: float
    spent_s: float
    """until it was handed over"""
    busy_s: float
    """that count as use of the device"""


class DeviceTime(Protocol):
    """The time of one device, whose batches come one after another."""

    late_batches: int
    """batches that the host handed over later than the emulated device would have"""

    def begin(self, ready_s: float) -> None:
        """A batch begins that a free device would have begun at `ready_s`."""
        ...

    def end(self, model: str, size: int) -> PassTime:
        """The host has computed it: wait until the device has, too."""
        ...

    def handed(self, end_s: float) -> None:
        """The answers of a batch that the device had at `end_s` are with their callers now."""
        ...

    def batch_s(self, model: str, size: int, host_s: float) -> float:
        """Seconds that the device takes for a batch for which the host took `host_s`."""
        ...


class HostTime:
    """A device of the host itself. `busy_clock`, read on the device's thread, counts what is use of
    the device."""

    late_batches = 0

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        busy_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._busy_clock = busy_clock
        self._started_s = self._busy_from_s = 0.0

    def begin(self, ready_s: float) -> None:
        """See `DeviceTime.begin`."""
        self._started_s, self._busy_from_s = self._clock(), self._busy_clock()

    def end(self, model: str, size: int) -> PassTime:
        """See `DeviceTime.end`; the device is the host, so nothing is waited for."""
        spent_s = self._clock() - self._started_s
        return PassTime(self._started_s, spent_s, self._busy_clock() - self._busy_from_s)

    def handed(self, end_s: float) -> None:
        """See `DeviceTime.handed`."""

    def batch_s(self, model: str, size: int, host_s: float) -> float:
        """See `DeviceTime.batch_s`."""
        return host_s


class EmulatedTime:
    """A device that takes `latency_s(model, size)` seconds for a batch, whatever the host takes.

    A batch begins when it is ready and the batch before it has ended, in the device's time: neither
    how late the host's thread wakes nor how long the host computes moves that. If the host computes
    longer than the device would, the batch ends when the host is done. `window_s` is the node's.

    A thread wakes a little late, and the event loop it hands answers to as well. So `end` returns
    that much earlier: half of the answers are with their callers before the device would be done,
    and half after it. The host does not compute the next batch before they are there: where the
    event loop is woken on the core of this thread, it would have to wait for that.
    """

    def __init__(
        self,
        latency_s: Callable[[str, int], float],
        window_s: float,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._latency_s = latency_s
        self._window_s = window_s
        self._clock = clock
        self._wait = wait
        self._started_s = self._free_s = 0.0
        self._lead_s = 0.0
        self._handed = threading.Event()
        self._handed.set()
        self.late_batches = 0

    def begin(self, ready_s: float) -> None:
        """See `DeviceTime.begin`."""
        self._handed.wait(LONGEST_HAND_OVER_S)
        self._started_s = max(self._free_s, ready_s)

    def end(self, model: str, size: int) -> PassTime:
        """See `DeviceTime.end`."""
        latency_s = self._latency_s(model, size)
        end_s = self._started_s + latency_s
        computed_s = done_s = self._clock()
        if computed_s < end_s - self._lead_s:
            self._wait(end_s - self._lead_s - computed_s)
            done_s = self._clock()
        allowed_s = max(LATE_BY * latency_s, LATE_BY_WINDOW * self._window_s)
        self.late_batches += computed_s > end_s or done_s > end_s + allowed_s
        self._free_s = max(end_s, computed_s)
        self._handed.clear()
        spent_s = max(done_s, end_s) - self._started_s
        return PassTime(self._started_s, spent_s, self._free_s - self._started_s)

    def handed(self, end_s: float) -> None:
        """See `DeviceTime.handed`; called on the event loop's thread."""
        self._handed.set()
        step_s = LEAD_STEP_S if self._clock() > end_s else -LEAD_STEP_S
        self._lead_s = min(max(self._lead_s + step_s, 0.0), MOST_LEAD_S)

    def batch_s(self, model: str, size: int, host_s: float) -> float:
        """See `DeviceTime.batch_s`."""
        return self._latency_s(model, size)
