"""Queries between nodes: one multiplexed connection up each link, answers as they are ready.

Wire form (`frames.py`), first field the kind:
  HELLO  [0, token]
  QUERY  [1, id, task, tier, node, model, image bytes]
  ANSWER [2, id, dtype, shape, prediction bytes, [batch_size, queue_s, batch_wait_s, compute_s,
         link_s]]
  REFUSE [3, id, reason, message]
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from serving.node.errors import RefusedError
from serving.node.executor import Served
from serving.node.frames import FrameProtocol
from serving.node.link import LinkPacer
from serving.node.router import Target

__all__ = ["Forwarded", "PeerServer", "Uplink"]

HELLO, QUERY, ANSWER, REFUSE = range(4)
QUERY_OVERHEAD_BYTES = 96  # frame, ids and names beside the image


@dataclass(frozen=True, slots=True)
class Forwarded:
    """An answer and the time it spent on links, both ways, in seconds."""

    served: Served
    link_s: float


Handler = Callable[[Target, str, bytes], Awaitable[Forwarded]]


class PeerServer:
    """Accepts queries from the tier below. The first frame must carry the cluster's token."""

    def __init__(self, handler: Handler, token: str) -> None:
        self._handler = handler
        self._token = token.encode()
        self._greeted: set[FrameProtocol] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str) -> int:
        """Listen on a free port of `host`; returns the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: FrameProtocol(self._on_frame, self._greeted.discard), host, 0
        )
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._greeted):
            connection.close()

    def _on_frame(self, connection: FrameProtocol, fields: list[Any]) -> None:
        if connection not in self._greeted:
            if len(fields) == 2 and hmac.compare_digest(str(fields[1]).encode(), self._token):
                self._greeted.add(connection)
            else:
                connection.close()
            return
        task = asyncio.get_running_loop().create_task(self._answer(connection, fields))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, connection: FrameProtocol, fields: list[Any]) -> None:
        _, number, task, tier, node, model, image = fields
        try:
            done = await self._handler(Target(tier, node, model), task, image)
        except RefusedError as refusal:
            connection.send([REFUSE, number, refusal.reason, refusal.message])
            return
        served = done.served
        prediction = np.ascontiguousarray(served.prediction)
        connection.send(
            [
                ANSWER, number, prediction.dtype.str, prediction.shape, prediction.tobytes(),
                [served.batch_size, served.queue_s, served.batch_wait_s, served.compute_s,
                 done.link_s],
            ]
        )  # fmt: skip


class Uplink:
    """The way to the next tier: paced by the link's budget, bounded in flight, reconnecting.

    `find_peer` gives the current (host, port) of the far node; it is asked again after every
    loss, because a restarted node listens elsewhere.
    """

    def __init__(
        self,
        pacer: LinkPacer,
        find_peer: Callable[[], Awaitable[tuple[str, int]]],
        token: str,
        *,
        max_in_flight: int = 1024,
        timeout_s: float = 10.0,
    ) -> None:
        self._pacer = pacer
        self._find_peer = find_peer
        self._token = token
        self._max_in_flight = max_in_flight
        self._timeout_s = timeout_s
        self._connection: FrameProtocol | None = None
        self._connecting = asyncio.Lock()
        self._waiting: dict[int, asyncio.Future[Forwarded]] = {}
        self._numbers = count()

    @property
    def pacer(self) -> LinkPacer:
        """The link's budget and its use."""
        return self._pacer

    async def call(self, target: Target, task: str, image: bytes) -> Forwarded:
        """Send one query up and wait. Raises `RefusedError`: the far side's, or the link's own."""
        if len(self._waiting) >= self._max_in_flight:
            raise RefusedError("link_full", f"{self._max_in_flight} queries are on the link")
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        sent_s = self._pacer.reserve(now_s, len(image) + QUERY_OVERHEAD_BYTES)
        if sent_s is None:
            raise RefusedError("link_full", "the uplink's backlog is full")
        up_s = sent_s - now_s + self._pacer.rtt_s / 2
        await asyncio.sleep(up_s)
        connection = await self._connect()
        number = next(self._numbers)
        future: asyncio.Future[Forwarded] = loop.create_future()
        self._waiting[number] = future
        try:
            connection.send([QUERY, number, task, target.tier, target.node, target.model, image])
            async with asyncio.timeout(self._timeout_s):
                await connection.drain()
                done = await future
        except TimeoutError:
            raise RefusedError(
                "peer_silent", f"no answer over the link within {self._timeout_s:g} s"
            ) from None
        finally:
            self._waiting.pop(number, None)
        await asyncio.sleep(self._pacer.rtt_s / 2)
        return Forwarded(done.served, done.link_s + up_s + self._pacer.rtt_s / 2)

    def close(self) -> None:
        """End the connection; queries in flight are refused."""
        if self._connection is not None:
            self._connection.close()

    async def _connect(self) -> FrameProtocol:
        async with self._connecting:
            if self._connection is None or not self._connection.connected:
                try:
                    host, port = await self._find_peer()
                    _, connection = await asyncio.get_running_loop().create_connection(
                        lambda: FrameProtocol(self._on_frame, self._on_lost), host, port
                    )
                except OSError as error:
                    raise RefusedError("peer_unreachable", str(error)) from None
                connection.send([HELLO, self._token])
                self._connection = connection
            return self._connection

    def _on_frame(self, _: FrameProtocol, fields: list[Any]) -> None:
        future = self._waiting.get(fields[1])
        if future is None or future.done():  # its caller has gone
            return
        if fields[0] == REFUSE:
            future.set_exception(RefusedError(fields[2], fields[3]))
            return
        _, _, dtype, shape, body, (batch_size, queue_s, batch_wait_s, compute_s, link_s) = fields
        prediction = np.frombuffer(body, dtype=np.dtype(dtype)).reshape(shape)
        served = Served(prediction, batch_size, queue_s, batch_wait_s, compute_s)
        future.set_result(Forwarded(served, link_s))

    def _on_lost(self, _: FrameProtocol) -> None:
        self._connection = None
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(RefusedError("peer_lost", "the node above went away"))
