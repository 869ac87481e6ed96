"""Waiting for a coroutine in a function that is not one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["run_blocking", "run_on"]

T = TypeVar("T")


def run_blocking(
    main: Coroutine[Any, Any, T],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> T:
    """Run `main` to its end on an event loop of its own; returns and raises what it does.

    Also where a loop runs already, as in a notebook: a thread has one running loop, so `main` gets
    another thread, and the loop that runs stands still meanwhile.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run(main, loop_factory)
    with ThreadPoolExecutor(1, "blocking") as thread:
        return thread.submit(_run, main, loop_factory).result()


def run_on(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, T]) -> T:
    """The same on `loop`, which stays open: what else was begun on it goes on meanwhile only."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return loop.run_until_complete(main)
    with ThreadPoolExecutor(1, "blocking") as thread:
        return thread.submit(loop.run_until_complete, main).result()


def _run(
    main: Coroutine[Any, Any, T], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None
) -> T:
    found: list[T] = []

    async def keep() -> None:
        found.append(await main)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(keep())  # a runner writes out what its task returns, which may be a whole run
    return found[0]
