"""An event loop whose clock jumps: an hour of simulated traffic passes in seconds.

When nothing is ready, the clock moves to the next timer. The loop of asyncio would ask the
operating system about sockets before each turn, and give each timer a context: most of what a
simulated query cost.
"""

from __future__ import annotations

import asyncio
import gc
from asyncio.events import _set_running_loop
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import cached_property, partial
from heapq import heappop, heappush
from typing import Any, TypeVar

from serving.blocking import run_blocking

__all__ = ["LoopClock", "VirtualTimeLoop", "run_in_virtual_time"]

T = TypeVar("T")
RARELY = (50_000, 20, 20)
"""objects made since the last look, and looks of the younger generation since that of the older"""


class _Call:
    """What is to be called, as an `asyncio.TimerHandle` to whoever may cancel it."""

    __slots__ = ("args", "callback", "context", "when_s")

    def __init__(
        self,
        callback: Callable[..., object] | None,
        args: tuple[Any, ...],
        context: Context | None,
        when_s: float = 0.0,
    ) -> None:
        self.callback = callback
        """None once it was cancelled, or a timer is over"""
        self.args = args
        self.context = context
        self.when_s = when_s

    def cancel(self) -> None:
        """Call nothing, and keep nothing alive."""
        self.callback, self.args = None, ()

    def cancelled(self) -> bool:
        """Whether it will not be called, or not again."""
        return self.callback is None

    def when(self) -> float:
        """Of a timer: when it is due, on the loop's clock."""
        return self.when_s


class VirtualTimeLoop(asyncio.BaseEventLoop):
    """Starts at time 0 s; `asyncio.sleep` and timers take no real time.

    For coroutines that wait on timers and each other only, not on sockets or threads. Calls that
    are due at the same time happen in the order in which they were asked for. A timer has a context
    only if it is given one.
    """

    def __init__(self) -> None:
        self._runs = self._ends = False
        super().__init__()
        self._now_s = 0.0
        self._calls: deque[_Call] = deque()
        """what is ready now"""
        self._timers: list[tuple[float, int, _Call]] = []
        """a heap: when it is due, how many timers were set before it"""
        self._timers_set = 0
        self.create_future = partial(asyncio.Future, loop=self)  # type: ignore[method-assign]
        self.create_task = partial(asyncio.Task, loop=self)  # type: ignore[method-assign]

    def time(self) -> float:
        """Simulated seconds since the loop was made."""
        return self._now_s

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Any:
        """See `asyncio.loop.call_soon`."""
        call = _Call(callback, args, context)
        self._calls.append(call)
        return call

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Any:
        """See `asyncio.loop.call_soon_threadsafe`. A deque takes it from any thread, and the loop,
        which never waits, need not be woken."""
        return self.call_soon(callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any,
        context: Context | None = None,
    ) -> Any:  # fmt: skip
        """See `asyncio.loop.call_at`."""
        call = _Call(callback, args, context, when)
        self._timers_set += 1
        heappush(self._timers, (when, self._timers_set, call))
        return call

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any,
        context: Context | None = None,
    ) -> Any:  # fmt: skip
        """See `asyncio.loop.call_later`."""
        when_s = self._now_s + delay
        call = _Call(callback, args, context, when_s)
        self._timers_set += 1
        heappush(self._timers, (when_s, self._timers_set, call))
        return call

    def is_running(self) -> bool:
        """See `asyncio.loop.is_running`."""
        return self._runs

    def stop(self) -> None:
        """See `asyncio.loop.stop`."""
        self._ends = True

    def run_forever(self) -> None:
        """See `asyncio.loop.run_forever`.

        Raises `RuntimeError` where every task waits and no timer is set, and whatever is raised in
        a callback that is not a task's.
        """
        if self._runs:
            raise RuntimeError("This event loop is already running")
        self._runs = True
        _set_running_loop(self)
        calls = self._calls
        take = calls.popleft
        try:
            while True:
                for _ in range(len(calls)):
                    call = take()
                    callback, context = call.callback, call.context
                    if callback is None:
                        continue
                    if context is None:
                        callback(*call.args)
                    else:
                        context.run(callback, *call.args)
                if self._ends:
                    break
                if not calls:
                    self._move_clock()
        finally:
            self._runs = self._ends = False
            _set_running_loop(None)

    def _move_clock(self) -> None:
        """To the next timer that is not cancelled, which is ready then, with all that are due."""
        timers, calls = self._timers, self._calls
        while timers and (not calls or timers[0][0] <= self._now_s):
            when_s, _, call = heappop(timers)
            if call.callback is not None:
                calls.append(call)
                if when_s > self._now_s:
                    self._now_s = when_s
        if not calls:
            raise RuntimeError("simulated time stands still: every task waits, and no timer is set")


class LoopClock:
    """Time and sleep of the loop on which it is first asked.

    `asyncio.get_running_loop`, and with it `asyncio.sleep`, asks the operating system for the
    process's number at each call: in all a sixth of what a simulated query cost.
    """

    @cached_property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop."""
        return asyncio.get_running_loop()

    def __call__(self) -> float:
        """Seconds on the loop's clock."""
        return self.loop.time()

    async def sleep(self, delay_s: float) -> None:
        """See `asyncio.sleep`."""
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        loop = self.loop
        over: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(delay_s, _end, over)
        try:
            await over
        finally:
            timer.cancel()


def _end(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on a `VirtualTimeLoop` of its own; waits for it, also on an event loop.

    In a notebook a loop runs already, and a thread has one running loop: `main` gets another.
    Meanwhile Python looks for cycles of dead objects `RARELY` only: the records of all queries so
    far would be gone through again and again, which took a sixth of the time.
    """
    usual = gc.get_threshold()
    gc.set_threshold(*RARELY)
    try:
        return run_blocking(main, VirtualTimeLoop)
    finally:
        gc.set_threshold(*usual)
