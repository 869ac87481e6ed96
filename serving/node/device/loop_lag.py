"""How late an event loop is: what a query waits in its socket before the node knows of it."""

from __future__ import annotations

import asyncio
import logging

from serving.logs.logger import NodeLogger

__all__ = ["LoopLag"]

BEAT_S = 0.02
MEMORY = 0.8
"""what a lateness still counts for at the next beat"""
HELD_S = 1.0
"""a lateness that is worth a line in the log"""


class LoopLag:
    """A beat on the loop of its maker, which finds out by how much it comes too late.

    What is late by over `HELD_S` is written to `log`, if there is one.
    """

    def __init__(self, log: NodeLogger | None = None) -> None:
        self._log = log
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
        if self._log is not None and late_s > HELD_S:
            self._log.limited(
                logging.WARNING, "held", "nobody was heard for %.1f s: the event loop was held",
                late_s,
            )  # fmt: skip
