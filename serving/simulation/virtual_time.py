"""An event loop whose clock jumps: an hour of simulated traffic passes in seconds.

When nothing is ready, the clock moves to the next timer. The loop of asyncio would ask the
operating system about sockets before each turn, and give each timer a context: most of what a
simulated query cost.
"""

from __future__ import annotations

import asyncio
import asyncio.base_events
import gc
from asyncio.events import _set_running_loop
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context
from functools import partial
from heapq import heappop, heappush
from typing import Any, Final, TypeVar

from serving.blocking import run_blocking

__all__ = ["VirtualTime", "VirtualTimeLoop", "rare_garbage_collection", "run_in_virtual_time"]

T = TypeVar("T")
RARELY = (1_000_000, 20, 20)
"""objects made since the last look, and looks of the younger generation since that of the older.
Nothing of a query is part of a cycle, so a look finds nothing and goes through all that is kept:
with 50,000 that took a tenth of the time."""


def _of_python(kind: type[T]) -> type[T]:
    """`kind` as it is. mypyc leaves classes with a decorator to Python, which it has to where one
    inherits from a class that it has not compiled (`compiled_modules`)."""
    return kind


@_of_python
class _Call(list[Any]):
    """What is to be called, as an `asyncio.TimerHandle` to whoever may cancel it.

    [when it is due on the loop's clock, how many timers were set before it, callback, arguments,
    context]; without a callback once it was cancelled. A list is made, taken apart and compared
    in the heap without a line of Python.
    """

    __slots__ = ()

    def cancel(self) -> None:
        """Call nothing, and keep nothing alive."""
        self[2:] = CANCELLED

    def cancelled(self) -> bool:
        """Whether it will not be called."""
        return self[2] is None

    def when(self) -> float:
        """Of a timer: when it is due, on the loop's clock."""
        when_s: float = self[0]
        return when_s


CANCELLED = (None, (), None)


class VirtualTime:
    """What a virtual clock shows. Who asks often reads it here, not by a call of the loop.

    Compiled, what is in here takes no look-up, as what a loop has does: that is a class of Python.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self.timers_set = 0


@_of_python
class VirtualTimeLoop(asyncio.base_events.BaseEventLoop):
    """Starts at time 0 s; `asyncio.sleep` and timers take no real time.

    For coroutines that wait on timers and each other only, not on sockets or threads. Calls that
    are due at the same time happen in the order in which they were asked for. A timer has a context
    only if it is given one.
    """

    def __init__(self) -> None:
        self._runs = self._ends = False
        super().__init__()
        self.shown: Final = VirtualTime()
        """its time, which none but the loop may change"""
        self._calls: deque[_Call] = deque()
        """what is ready now"""
        self._timers: list[_Call] = []
        """a heap"""
        # What asyncio's own C asks for at each future and task is given without a line of Python,
        # and tasks get a name that need not be written first.
        self.get_debug = partial(bool)  # type: ignore[method-assign]
        self.create_future = partial(asyncio.Future, loop=self)  # type: ignore[method-assign]
        self.create_task = partial(  # type: ignore[method-assign]
            asyncio.Task, loop=self, name="simulated"
        )

    def time(self) -> float:
        """Simulated seconds since the loop was made."""
        return self.shown.now_s

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Any:
        """See `asyncio.loop.call_soon`."""
        call = _Call((0.0, 0, callback, args, context))
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
        shown = self.shown
        shown.timers_set = number = shown.timers_set + 1
        call = _Call((when, number, callback, args, context))
        heappush(self._timers, call)
        return call

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any,
        context: Context | None = None,
    ) -> Any:  # fmt: skip
        """See `asyncio.loop.call_later`."""
        shown = self.shown
        shown.timers_set = number = shown.timers_set + 1
        call = _Call((shown.now_s + delay, number, callback, args, context))
        heappush(self._timers, call)
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
        calls, timers, shown = self._calls, self._timers, self.shown
        take = calls.popleft
        try:
            while True:
                for _ in range(len(calls)):
                    call = take()  # taken apart by places: a list would be iterated over
                    callback, args, context = call[2], call[3], call[4]
                    if callback is None:
                        continue
                    if context is None:
                        callback(*args)
                    elif len(args) == 1:  # as a task's turn: nothing is put together for it
                        context.run(callback, args[0])
                    else:
                        context.run(callback, *args)
                if self._ends:
                    break
                if calls:
                    continue
                # Nothing is ready: the clock moves to the next timer that is not cancelled, and
                # all that are due then are.
                while timers and (not calls or timers[0][0] <= shown.now_s):
                    call = heappop(timers)
                    if call[2] is not None:
                        calls.append(call)
                        if call[0] > shown.now_s:
                            shown.now_s = call[0]
                if not calls:
                    raise RuntimeError(
                        "simulated time stands still: every task waits, and no timer is set"
                    )
        finally:
            self._runs = self._ends = False
            _set_running_loop(None)


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on a `VirtualTimeLoop` of its own; waits for it, also on an event loop.

    In a notebook a loop runs already, and a thread has one running loop: `main` gets another.
    """
    with rare_garbage_collection():
        return run_blocking(main, VirtualTimeLoop)


@contextmanager
def rare_garbage_collection() -> Iterator[None]:
    """Have Python look for cycles of dead objects `RARELY` only, and not among what was there
    before: the records of all queries so far, and of simulations before this one, would be gone
    through again and again, which took a sixth of the time."""
    usual, set_aside = gc.get_threshold(), gc.get_freeze_count()
    gc.set_threshold(*RARELY)
    gc.freeze()
    try:
        yield
    finally:
        if not set_aside:  # else somebody wants it so
            gc.unfreeze()
        gc.set_threshold(*usual)
