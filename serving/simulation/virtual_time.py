"""An asyncio event loop whose clock jumps: an hour of simulated traffic passes in seconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from serving.blocking import run_blocking

__all__ = ["VirtualTimeLoop", "run_in_virtual_time"]

T = TypeVar("T")


class _JumpingSelector(selectors.SelectSelector):
    """Never waits: when nothing is ready, the loop's clock moves to its next timer instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError("simulated time stands still: every task waits, and no timer is set")
        self.now_s += timeout
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Starts at time 0 s; `asyncio.sleep` and timers take no real time.

    For coroutines that wait on timers and each other only, not on sockets or threads.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Simulated seconds since the loop was made."""
        return self._jumping.now_s


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on a `VirtualTimeLoop` of its own; waits for it, also on an event loop.

    In a notebook a loop runs already, and a thread has one running loop: `main` gets another.
    """
    return run_blocking(main, VirtualTimeLoop)
