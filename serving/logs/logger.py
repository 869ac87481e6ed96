"""Loggers that name the node that speaks, and hold back floods of the same line."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable

__all__ = ["NodeLogger", "RateLimit"]

PERIOD_S = 60.0
MAX_KEYS = 256


class RateLimit:
    """Lets the first `burst` events of one key pass in each `period_s`, and counts the rest.

    Any thread may ask. Keys beyond `MAX_KEYS` make it forget all of them.
    """

    def __init__(
        self, period_s: float = PERIOD_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._period_s = period_s
        self._clock = clock
        self._seen: dict[Hashable, tuple[float, int]] = {}
        """key -> when its period began, and its events since then"""
        self._lock = threading.Lock()

    def admit(self, key: Hashable, burst: int = 1) -> int | None:
        """None for an event that is held back; else how many were held back in the last period."""
        now_s = self._clock()
        with self._lock:
            if key not in self._seen and len(self._seen) >= MAX_KEYS:
                self._seen.clear()
            began_s, count = self._seen.get(key, (now_s, 0))
            if now_s - began_s < self._period_s:
                self._seen[key] = began_s, count + 1
                return 0 if count < burst else None
            self._seen[key] = now_s, 1
            return max(0, count - burst)


class NodeLogger(logging.LoggerAdapter[logging.Logger]):
    """A module's logger, in the hands of one node: each record carries the name as `record.node`.

    The name comes from the object that logs, since several nodes may live in one process.
    """

    def __init__(
        self, logger: logging.Logger, node: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(logger, {"node": node})
        self._rate = RateLimit(clock=clock)

    def limited(
        self,
        level: int,
        key: Hashable,
        message: str,
        *args: object,
        burst: int = 1,
        exc_info: bool = False,
    ) -> None:
        """Log an event of which there may be a flood: of those with the same `key` only `burst` a
        minute. The first line after some were held back says how many, without a traceback."""
        if not self.isEnabledFor(level):
            return
        held_back = self._rate.admit(key, burst)
        if held_back:
            self.log(level, f"{message} (and %d more like it before)", *args, held_back)
        elif held_back is not None:
            self.log(level, message, *args, exc_info=exc_info)
