"""The page beside a command, on a thread of its own or not, and what goes on while pages look."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager

from serving.blocking import run_blocking
from serving.watch.server import WatchServer
from serving.watch.source import LiveSource
from serving.watch.watched_loop import SampledFleet

__all__ = ["sample_while_open", "serve_beside", "serve_with"]

Beside = Sequence[Callable[[], Awaitable[None]]]
LOOK_S = 0.4
"""between two looks at the nodes: every look takes from what they answer queries with, and what
happens in one is to be seen within a second"""
ANSWER_LIMIT_S = 0.6
"""that a look waits for a node that gives no answer; the figures of all others wait with it"""
_log = logging.getLogger(__name__)


async def serve_with(
    server: WatchServer,
    beside: Beside = (),
    faults: AbstractAsyncContextManager[object] | None = None,
) -> None:
    """Serve the page until it is ended, with what runs `beside` it. `faults` is left at the end,
    which mends what was broken from the page."""
    async with AsyncExitStack() as held:
        if faults is not None:
            await held.enter_async_context(faults)
        running = [asyncio.ensure_future(each()) for each in beside]
        try:
            await server.run()
        finally:
            for each in running:
                each.cancel()


@contextmanager
def serve_beside(
    server: WatchServer,
    beside: Beside = (),
    faults: AbstractAsyncContextManager[object] | None = None,
) -> Iterator[None]:
    """The same on a thread, for as long as the block runs."""
    thread = threading.Thread(
        target=lambda: run_blocking(serve_with(server, beside, faults)), name="watch", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        server.end()
        thread.join(timeout=15.0)


async def sample_while_open(fleet: SampledFleet, source: LiveSource) -> None:
    """Look at the nodes between two frames, while a page waits for some."""
    loop = asyncio.get_running_loop()
    while True:
        begun_s = loop.time()
        if source.open_pages:
            try:
                shown = await asyncio.to_thread(fleet.snapshots_within, ANSWER_LIMIT_S)
                source.history.looked(shown)
            except Exception:  # noqa: BLE001 - what is only shown must end nothing
                _log.exception("a look at the nodes failed")
        await asyncio.sleep(max(0.05, LOOK_S - (loop.time() - begun_s)))
