"""One page over HTTP: where a node without a door is scraped."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial

from serving.http.exchange import Begin, Head, Response
from serving.http.limits import Limits
from serving.http.responses import content
from serving.http.server import HttpServer

__all__ = ["METRICS_PATH", "PageServer"]

METRICS_PATH = "/metrics"
LOOPBACK = "127.0.0.1"

Page = Callable[[], tuple[str, bytes]]


class PageServer:
    """Answers GET /metrics with `page` (content type, body), and nothing else."""

    def __init__(self, page: Page, port: int = 0, node: str = "", *, host: str = LOOPBACK) -> None:
        """Listens at `host` from `start` on. Raises `OSError` if `port` is taken."""
        self._page = page
        self._host = host
        self._server = HttpServer(self, socket.create_server((host, port)), Limits(), node=node)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.port

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"{self._host}:{self.port}"

    async def start(self) -> None:
        """Serve on the running event loop."""
        await self._server.start()

    async def close(self) -> None:
        """Stop listening."""
        await self._server.close()

    def read(self, head: Head) -> Begin:
        """See `Application`."""
        return partial(self._answer, head)

    def _answer(self, head: Head) -> Response:
        if head.method not in ("GET", "HEAD") or head.path != METRICS_PATH:
            return content(404, [], b"text/plain", f"nothing here but {METRICS_PATH}\n".encode())
        kind, body = self._page()
        return content(200, [], kind.encode(), body)
