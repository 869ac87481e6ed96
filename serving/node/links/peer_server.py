"""The door to the tier below: queries of other nodes come in, their outcomes go back."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from serving.errors import FrameError, RefusalReason, RefusedError
from serving.logs.logger import NodeLogger
from serving.node.device.served import Image
from serving.node.links.framing import FrameProtocol, make_frame_log
from serving.node.links.messages import (
    CANCEL,
    ECHO,
    HELLO,
    PING,
    PONG,
    PROBE,
    QUERY,
    WELCOME,
    AskOutcome,
    QueryFrame,
    encode_answer,
    parse_number,
    parse_probe,
    parse_query,
    unexpected_kind,
)
from serving.routing.routes import Ask
from serving.tracing.active import Tracing, within

__all__ = ["PeerServer"]

GREETING_S = 5.0
"""seconds that a connection may take to show the token"""
_log = logging.getLogger(__name__)

Handler = Callable[[tuple[Ask, ...], Image, float | None], Awaitable[list[AskOutcome]]]
"""(asks, image, remaining seconds) -> an outcome for each ask"""


class PeerServer:
    """Accepts queries from the tier below. The first frame must carry the cluster's token.

    A connection that breaks the protocol is closed, and so is one that does not greet. What
    waits is bounded by the executor's queue and the uplink above; answers that the tier below
    does not read stop it from sending more. A query whose sender cancels it, or goes away, is
    cancelled here too. `node` is the name that its log says.
    """

    def __init__(
        self, handler: Handler, token: str, node: str = "", tracing: Tracing | None = None
    ) -> None:
        self._node = node
        self._tracing = tracing
        self._log = NodeLogger(_log, node)
        self._frame_log = make_frame_log(node)
        self._handler = handler
        self._token = token.encode()
        self._tasks: dict[FrameProtocol, dict[int, asyncio.Task[None]]] = {}
        self._servers: list[asyncio.Server] = []

    async def start(self, host: str) -> int:
        """Listen on a free port of `host`, too; returns the port."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._accept, host, 0)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Stop listening and end every connection."""
        for server in self._servers:
            server.close()
        for connection in list(self._tasks):
            connection.close()

    def _accept(self) -> FrameProtocol:
        connection = FrameProtocol(
            self._on_frame,
            self._on_lost,
            trusted=False,
            echoes_pressure=True,
            log=self._frame_log,
        )
        self._tasks[connection] = {}
        asyncio.get_running_loop().call_later(GREETING_S, self._close_stranger, connection)
        return connection

    def _on_lost(self, connection: FrameProtocol) -> None:
        tasks = self._tasks.pop(connection, {})
        for task in tasks.values():
            task.cancel()
        if connection.trusted:
            self._log.info("a node below left; %d of its queries were cancelled", len(tasks))

    def _on_frame(self, connection: FrameProtocol, fields: list[Any]) -> None:
        kind = fields[0]
        if not connection.trusted:
            if kind != HELLO or len(fields) != 2 or not self._is_token(fields[1]):
                raise FrameError("it did not show the cluster's token")
            connection.trusted = True
            self._log.info("a node below connected from %s", connection.peer)
            connection.send([WELCOME])
        elif kind == QUERY:
            query = parse_query(fields)
            tasks = self._tasks[connection]
            if query.number in tasks:
                raise FrameError(f"query {query.number} is here already")
            task = asyncio.get_running_loop().create_task(self._answer(connection, query))
            tasks[query.number] = task
            task.add_done_callback(lambda _: tasks.pop(query.number, None))
        elif kind == CANCEL:
            cancelled = self._tasks[connection].get(parse_number(fields))
            if cancelled is not None:
                cancelled.cancel()
        elif kind == PROBE:
            connection.send([ECHO, parse_probe(fields), time.monotonic()])
        elif kind == PING:
            connection.send([PONG])
        else:
            raise unexpected_kind(kind)

    def _is_token(self, shown: object) -> bool:
        return isinstance(shown, str) and hmac.compare_digest(shown.encode(), self._token)

    async def _handle(self, query: QueryFrame) -> list[AskOutcome]:
        span = None
        if self._tracing is not None and query.traceparent:
            span = self._tracing.begin("serve", query.traceparent, {"node": self._node})
        if span is None:
            return await self._handler(query.asks, query.image, query.remaining_s)
        with within(span):
            return await self._handler(query.asks, query.image, query.remaining_s)

    async def _answer(self, connection: FrameProtocol, query: QueryFrame) -> None:
        try:
            outcomes = await self._handle(query)
        except RefusedError as refusal:
            outcomes = [refusal] * len(query.asks)
        except Exception as error:  # noqa: BLE001
            # Else the node below would wait for its time-out, and nobody would know why.
            self._log.limited(
                logging.ERROR, type(error).__name__, "a query of a node below failed", exc_info=True
            )
            words = f"the node failed: {error!r}"[:200]
            outcomes = [RefusedError(RefusalReason.DEVICE_FAILED, words)] * len(query.asks)
        connection.send(encode_answer(query.number, outcomes))

    def _close_stranger(self, connection: FrameProtocol) -> None:
        if connection.trusted:
            return
        if connection.connected:
            self._log.limited(
                logging.WARNING,
                "stranger",
                "closed the connection with %s: no token within %g s",
                connection.peer,
                GREETING_S,
            )
        connection.abort()
