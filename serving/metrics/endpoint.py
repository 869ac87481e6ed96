"""One page over HTTP on the loopback: where a node without a door is scraped."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from serving.ingress.connection import make_server
from serving.ingress.limits import Limits

__all__ = ["METRICS_PATH", "PageServer"]

METRICS_PATH = "/metrics"
HOST = "127.0.0.1"

Page = Callable[[], tuple[str, bytes]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class PageServer:
    """Answers GET /metrics with `page` (content type, body), and nothing else."""

    def __init__(self, page: Page, port: int = 0) -> None:
        """Listens from `start` on. Raises `OSError` if `port` is taken."""
        self._page = page
        self._listener = socket.create_server((HOST, port))
        self._server = make_server(self, Limits())

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        """Serve on the running event loop."""
        serving = self._server.serve(sockets=[self._listener])
        self._serving = asyncio.get_running_loop().create_task(serving)

    async def close(self) -> None:
        """Stop listening."""
        self._server.should_exit = True
        await self._serving

    async def __call__(self, scope: MutableMapping[str, Any], _: Any, send: Send) -> None:
        """ASGI: one exchange."""
        if scope["type"] != "http":
            return
        status, kind, body = 404, "text/plain", f"nothing here but {METRICS_PATH}\n".encode()
        if scope["method"] in ("GET", "HEAD") and scope["path"] == METRICS_PATH:
            status, (kind, body) = 200, self._page()
        headers = [
            (b"content-type", kind.encode()),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
