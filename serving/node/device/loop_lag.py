"""How late an event loop is: what a query waits in its socket before the node knows of it."""

from __future__ import annotations

import asyncio

__all__ = ["LoopLag"]

BEAT_S = 0.02
MEMORY = 0.8
"""what a lateness still counts for at the next beat"""


class LoopLag:
    """A beat on the loop of its maker, which finds out by how much it comes too late."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.lag_s = 0.0
        """the worst of late, fading within a fifth of a second"""
        self._due_s = 0.0
        self._begin()

    def stop(self) -> None:
        """Beat no more."""
        self._beat.cancel()

    def _begin(self) -> None:
        self._due_s = self._loop.time() + BEAT_S
        self._beat = self._loop.call_at(self._due_s, self._turn)

    def _turn(self) -> None:
        late_s = max(0.0, self._loop.time() - self._due_s)
        self.lag_s = max(late_s, MEMORY * self.lag_s)
        self._begin()
