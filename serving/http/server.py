"""A listening socket whose connections serve one application."""

from __future__ import annotations

import asyncio
import socket
from functools import partial

from serving.http.connection import HttpConnection, Shared
from serving.http.exchange import Application
from serving.http.limits import Limits

__all__ = ["BACKLOG", "HttpServer"]

BACKLOG = 4_096
GRACE_S = 5.0
"""for exchanges in flight, once the server is told to close"""


class HttpServer:
    """Serves `app` on the running event loop to who connects to `listener`, within `limits`."""

    def __init__(self, app: Application, listener: socket.socket, limits: Limits) -> None:
        self._listener = listener
        self._shared = Shared(app, limits)
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    async def start(self) -> None:
        """Accept connections."""
        connect = partial(HttpConnection, self._shared)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(connect, sock=self._listener, backlog=BACKLOG)

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
