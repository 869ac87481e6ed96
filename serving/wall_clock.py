"""The time of day as a node sees it: for people only, who read it in logs and statistics.

Nothing that a node decides may rest on it, because it jumps: it is set by hand, by NTP, and when a
virtual machine goes on. Deadlines, leases, health and budgets count on clocks that only ever rise.
"""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["WallClock"]


class WallClock:
    """Seconds since 1970, by `read` and whatever the clock was set by since. Any thread may ask."""

    def __init__(self, read: Callable[[], float] = time.time) -> None:
        self._read = read
        self.ahead_s = 0.0
        """of `read`; set it to let the clock jump"""

    def __call__(self) -> float:
        """Now."""
        return self._read() + self.ahead_s
