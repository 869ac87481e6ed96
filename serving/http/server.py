"""A listening socket whose connections serve one application."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial

from serving.http.connection import HttpConnection
from serving.http.exchange import Application
from serving.http.limits import Limits
from serving.http.request_log import LoggedConnection, RequestEntry
from serving.http.shared import Shared

__all__ = ["BACKLOG", "HttpServer"]

BACKLOG = 4_096
GRACE_S = 5.0
"""for exchanges in flight, once the server is told to close"""


class HttpServer:
    """Serves `app` on the running event loop to who connects to `listener`, within `limits`.

    `node` is the name that its log says; `on_request` is told of each request, if there is one.
    """

    def __init__(
        self,
        app: Application,
        listener: socket.socket,
        limits: Limits,
        *,
        node: str = "",
        on_request: Callable[[RequestEntry], None] | None = None,
    ) -> None:
        self._listener = listener
        self._shared = Shared(app, limits, node=node)
        self._connect: Callable[[], HttpConnection] = partial(HttpConnection, self._shared)
        if on_request is not None:
            self._connect = partial(LoggedConnection, on_request, self._shared)
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    async def start(self) -> None:
        """Accept connections."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connect, sock=self._listener, backlog=BACKLOG)

    async def close(self) -> None:
        """Stop listening, let what is being answered finish, and end every connection."""
        if self._server is not None:
            self._server.close()
        loop = asyncio.get_running_loop()
        end_s = loop.time() + GRACE_S
        for connection in list(self._shared.connections):
            connection.finish()
        while self._shared.connections and loop.time() < end_s:
            await asyncio.sleep(0.01)
        for connection in list(self._shared.connections):
            connection.abort()
