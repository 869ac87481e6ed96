"""Time and sleep of the event loop that runs, whichever it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from serving.simulation.virtual_time import VirtualTime, VirtualTimeLoop

__all__ = ["LoopClock"]


class LoopClock:
    """Time and sleep of the loop on which it is first asked.

    `asyncio.get_running_loop`, and with it `asyncio.sleep`, asks the operating system for the
    process's number at each call: in all a sixth of what a simulated query cost.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shown: VirtualTime | None = None
        """the loop's time, if it is a virtual one: a query asks for it some fifteen times"""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
            if isinstance(loop, VirtualTimeLoop):
                self._shown = loop.shown
        return loop

    def __call__(self) -> float:
        """Seconds on the loop's clock."""
        shown = self._shown
        return self.loop.time() if shown is None else shown.now_s

    def sleep(self, delay_s: float) -> Awaitable[None]:
        """See `asyncio.sleep`. The timer of who is cancelled stays, and ends nothing."""
        if delay_s <= 0:
            return asyncio.sleep(0)
        loop = self.loop
        over: asyncio.Future[None] = loop.create_future()
        loop.call_later(delay_s, _end, over)
        return over


def _end(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)
