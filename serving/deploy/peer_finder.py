"""Where a node of the cluster listens for the nodes below it, asked of the node itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

__all__ = ["PeerFinder"]


class PeerEndpoint(Protocol):
    """Where a node listens (`serving.deploy.replica.Endpoint`)."""

    def peer_at(self, below: str) -> tuple[str, int]:
        """(host, port) for the node `below` it."""
        ...


class PeerFinder:
    """Asks nodes where they listen for the node `own`. `open_handle(node)` gives the call that asks
    one of them.

    Opening a handle waits for the Serve controller, which may be away, so it happens on a thread:
    the event loop goes on with queries. A handle is kept, since it finds a restarted node itself;
    one that fails is opened anew at the next try.
    """

    def __init__(
        self, own: str, open_handle: Callable[[str], Callable[[], Awaitable[PeerEndpoint]]]
    ) -> None:
        self._own = own
        self._open_handle = open_handle
        self._handles: dict[str, Callable[[], Awaitable[PeerEndpoint]]] = {}

    async def find(self, node: str) -> tuple[str, int]:
        """(host, port) of `node` now. Raises what opening the handle or asking raises."""
        handle = self._handles.get(node)
        if handle is None:
            handle = await asyncio.to_thread(self._open_handle, node)
            self._handles[node] = handle
        try:
            endpoint = await handle()
        except BaseException:
            self._handles.pop(node, None)
            raise
        return endpoint.peer_at(self._own)
