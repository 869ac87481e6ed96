"""The door of a client node behind uvicorn and ASGI, to see what our own HTTP server is worth.

Everything from the head of a request on is the application that nodes serve (`HttpApi`): the
router, early refusals and the protocol are the same. uvicorn parses with httptools, on uvloop,
without a log, and adds no headers, as our server does not.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote

import uvicorn

from serving.http.exchange import Application, Begin, Exchange, Head, Response
from serving.http.server import BACKLOG
from serving.ingress.access import DoorConfig
from serving.ingress.door import Door
from serving.ingress.http_api import HttpApi, Page
from serving.ingress.image_decoding import Decode
from serving.node.server import NodeServer

__all__ = ["AsgiDoor", "Close", "open_uvicorn_door", "received", "scope_of"]

Close = Callable[[], Awaitable[None]]
Message = dict[str, Any]
MOST_HEADS = 256
"""whose reading is remembered, as our server does"""


class AsgiDoor:
    """An application of ours as one of ASGI."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._known: dict[tuple[Any, ...], Begin] = {}

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer one request; other kinds of scopes are not offered."""
        if scope["type"] != "http":
            raise ValueError(f"expected a scope of type http, got {scope['type']!r}")
        begun = self._begin(scope)()
        response = begun if isinstance(begun, Response) else await self._answer(begun, receive)
        lines = response.head.split(b"\r\n")[1:-1]
        headers = [line.split(b": ", 1) for line in lines]
        start = {"type": "http.response.start", "status": response.status, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": response.body})

    def _begin(self, scope: Message) -> Begin:
        key = (scope["method"], scope["raw_path"], scope["query_string"], *scope["headers"])
        begin = self._known.get(key)
        if begin is None:
            if len(self._known) >= MOST_HEADS:
                self._known.clear()
            headers = dict(scope["headers"])
            begin = self._app.read(
                Head(scope["method"], scope["path"], scope["query_string"], headers)
            )
            self._known[key] = begin
        return begin

    async def _answer(
        self, exchange: Exchange, receive: Callable[[], Awaitable[Message]]
    ) -> Response:
        parts, more = [], True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("the caller left before its request was whole")
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        return await exchange.answer(parts[0] if len(parts) == 1 else b"".join(parts))


def scope_of(head: Head) -> Message:
    """The scope that uvicorn makes of a request with this head."""
    return {
        "type": "http", "method": head.method, "raw_path": head.path.encode(),
        "path": unquote(head.path), "query_string": head.query,
        "headers": list(head.headers.items()),
    }  # fmt: skip


def received(body: bytes) -> Callable[[], Awaitable[Message]]:
    """A `receive` of ASGI that gives a body in one piece."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def open_uvicorn_door(
    server: NodeServer, decode: Decode, size: tuple[int, int], pages: Mapping[str, Page]
) -> tuple[int, Close]:
    """Serve a node's HTTP door by uvicorn on a free port; gives the port, and what closes it."""
    config = DoorConfig()
    app = HttpApi(Door(server, size, config.limits), decode, config, pages)
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    behind = uvicorn.Server(
        uvicorn.Config(
            AsgiDoor(app),
            http="httptools",
            ws="none",
            lifespan="off",
            loop="none",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=int(config.limits.idle_s),
            backlog=BACKLOG,
        )
    )
    serving = asyncio.ensure_future(behind.serve(sockets=[listener]))
    while not behind.started:
        if serving.done():
            serving.result()
        await asyncio.sleep(0.01)

    async def close() -> None:
        behind.should_exit = True
        await serving

    return int(listener.getsockname()[1]), close
