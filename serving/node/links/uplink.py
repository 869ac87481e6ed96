"""The way to the next tier: one multiplexed connection, paced, bounded, watched, made again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from serving.errors import RefusalReason, RefusedError, raise_first
from serving.node.device.served import Image
from serving.node.links.framing import FrameProtocol, make_frame_log
from serving.node.links.link_log import LinkLog
from serving.node.links.messages import (
    ANSWER,
    CANCEL,
    HELLO,
    PING,
    PONG,
    WELCOME,
    AskOutcome,
    AskReply,
    encode_query,
    parse_answer,
    parse_number,
    unexpected_kind,
)
from serving.node.links.pacer import LinkPacer
from serving.routing.early_refusal import NodeBackoff
from serving.routing.routes import Ask

__all__ = ["QUERY_OVERHEAD_BYTES", "Uplink", "UplinkTimeouts"]

QUERY_OVERHEAD_BYTES = 96  # frame, ids and names beside the image

FindPeer = Callable[[], Awaitable[tuple[str, int]]]


@dataclass(frozen=True, slots=True)
class UplinkTimeouts:
    """How long an uplink waits for what, in seconds."""

    answer_s: float = 10.0
    """for a query's answer"""
    silence_s: float = 3.0
    """for any sign of life while queries are out; beyond it the connection is given up"""
    beat_s: float = 0.25
    """between two looks at that"""
    connecting_s: float = 10.0
    """for finding the far node, the connection and its welcome"""
    queue_s: float = 1.0
    """of a connection attempt, for as long as which queries wait for it"""
    again_s: float = 0.25
    """from a failed attempt to the next"""


@dataclass(slots=True)
class _Call:
    """A query that is out."""

    asks: tuple[Ask, ...]
    future: asyncio.Future[list[AskOutcome]]
    sent_s: float


class Uplink:
    """Sends queries up one link, holding its budget, and gives back an outcome for each ask.

    `find_peer` gives the current (host, port) of the far node; it is asked again after every
    loss, because a restarted node listens elsewhere. At most `max_in_flight` queries of
    `max_in_flight_bytes` are between `call` and its return: what the far side does not take stays
    with the callers, and the next are refused. `node` and `peer` are the names of the two ends in
    the log.
    """

    def __init__(
        self,
        pacer: LinkPacer,
        find_peer: FindPeer,
        token: str,
        *,
        max_in_flight: int = 1024,
        max_in_flight_bytes: int = 64 * 2**20,
        timeouts: UplinkTimeouts | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_sent: Callable[[float, int], None] = lambda spent_s, size_bytes: None,
        node: str = "",
        peer: str = "the node above",
    ) -> None:
        self._log = LinkLog(node, peer, clock)
        self._frame_log = make_frame_log(node)
        self._pacer = pacer
        self._find_peer = find_peer
        self._token = token
        self._max_in_flight = max_in_flight
        self._max_in_flight_bytes = max_in_flight_bytes
        self._timeouts = timeouts or UplinkTimeouts()
        self._clock = clock
        self._on_sent = on_sent
        self._backoff = NodeBackoff()
        self._in_flight = 0
        self._in_flight_bytes = 0
        self._connection: FrameProtocol | None = None
        self._welcomed: asyncio.Future[None] | None = None
        self._attempt: asyncio.Task[FrameProtocol] | None = None
        self._attempted_s = 0.0
        self._failed: RefusedError | None = None
        self._lost_because = "it went away"
        self._closing = False
        self._watching: asyncio.Task[None] | None = None
        self._heard = True
        self._calls: dict[int, _Call] = {}
        self._numbers = count()

    @property
    def pacer(self) -> LinkPacer:
        """The link's budget and its use."""
        return self._pacer

    def check(self, asks: tuple[Ask, ...]) -> None:
        """Raise the `RefusedError` that a query for `asks` would meet at once."""
        now_s = self._clock()
        raise_first([self._backoff.refusal(ask.target.node, now_s) for ask in asks])
        if self._in_flight >= self._max_in_flight:
            raise RefusedError(
                RefusalReason.LINK_FULL, f"{self._in_flight} queries are on the link"
            )
        if self._in_flight_bytes >= self._max_in_flight_bytes:
            raise RefusedError(
                RefusalReason.LINK_FULL, f"{self._in_flight_bytes} bytes are on the link"
            )
        self._pacer.check(now_s)

    def refusal(self, node: str) -> RefusedError | None:
        """What `node`, above, has said that it would refuse queries with now."""
        return self._backoff.refusal(node, self._clock())

    async def call(
        self, asks: tuple[Ask, ...], image: Image, deadline_s: float | None = None
    ) -> list[AskOutcome]:
        """Send one image up, once for all `asks`, and wait for their outcomes.

        Raises `RefusedError` if the link does not take it, or the far side goes away or stays
        silent; `deadline_s` is on the link's clock.
        """
        self.check(asks)
        size = image.nbytes + QUERY_OVERHEAD_BYTES
        called_s = self._clock()
        left_s = self._pacer.reserve(called_s, size, deadline_s)
        up_s = left_s - called_s + self._pacer.rtt_s / 2
        self._in_flight += 1
        self._in_flight_bytes += size
        try:
            await asyncio.sleep(up_s)
            self._on_sent(up_s, size)
            if deadline_s is None:
                outcomes = await self._exchange(asks, image, None)
            else:
                async with asyncio.timeout(max(0.0, deadline_s - self._clock())):
                    outcomes = await self._exchange(asks, image, deadline_s)
            if self._pacer.rtt_s:
                await asyncio.sleep(self._pacer.rtt_s / 2)
        except TimeoutError:
            raise RefusedError(RefusalReason.DEADLINE, "the deadline passed on the link") from None
        finally:
            self._in_flight -= 1
            self._in_flight_bytes -= size
        link_s = up_s + self._pacer.rtt_s / 2
        for ask, outcome in zip(asks, outcomes, strict=True):
            if isinstance(outcome, RefusedError):
                self._backoff.note(ask.target.node, outcome, self._clock())
        return [
            outcome
            if isinstance(outcome, RefusedError)
            else AskReply(outcome.target, outcome.served, outcome.link_s + link_s)
            for outcome in outcomes
        ]

    def prepare(self) -> None:
        """Connect now, so that the first query need not wait for it."""
        if self._connection is None and (self._attempt is None or self._attempt.done()):
            self._attempt = self._begin()

    def close(self) -> None:
        """End the connection; queries in flight are refused."""
        self._closing = True
        for task in (self._attempt, self._watching):
            if task is not None:
                task.cancel()
        if self._connection is not None:
            self._connection.close()

    async def _exchange(
        self, asks: tuple[Ask, ...], image: Image, deadline_s: float | None
    ) -> list[AskOutcome]:
        connection = self._connection
        if connection is None or not connection.connected:
            connection = await self._connect()
        await connection.drain()
        if not connection.connected:
            raise RefusedError(RefusalReason.PEER_LOST, "the node above went away")
        number = next(self._numbers)
        now_s = self._clock()
        call = _Call(asks, asyncio.get_running_loop().create_future(), now_s)
        self._calls[number] = call
        remaining_s = None if deadline_s is None else deadline_s - now_s - self._pacer.rtt_s / 2
        connection.send(encode_query(number, asks, remaining_s, image))
        try:
            return await call.future
        except asyncio.CancelledError:
            connection.send([CANCEL, number])
            raise
        finally:
            del self._calls[number]
            del call  # which holds the exception that holds this frame (`raise_first`)

    async def _connect(self) -> FrameProtocol:
        """The connection, once it is welcomed.

        One attempt runs for all who wait; who comes when it has taken `queue_s` already, or soon
        after it failed, is refused at once, and may still be answered elsewhere.
        """
        now_s = self._clock()
        if self._attempt is None or self._attempt.done():
            if self._failed is not None and now_s < self._attempted_s + self._timeouts.again_s:
                raise _copy(self._failed)
            self._attempt = self._begin()
        # While the far node stays away, only as long as one needs that has just come back.
        patience_s = self._timeouts.queue_s / (1 if self._failed is None else 10)
        wait_s = self._attempted_s + patience_s - now_s
        try:
            return await asyncio.wait_for(asyncio.shield(self._attempt), max(0.0, wait_s))
        except TimeoutError:
            raise RefusedError(
                RefusalReason.PEER_UNREACHABLE, "the node above is not connected yet"
            ) from None

    def _begin(self) -> asyncio.Task[FrameProtocol]:
        self._attempted_s = self._clock()
        attempt = asyncio.get_running_loop().create_task(self._open())
        attempt.add_done_callback(_retrieve)
        return attempt

    async def _open(self) -> FrameProtocol:
        """Find the far node, connect, show the token and wait for its welcome."""
        loop = asyncio.get_running_loop()
        connection: FrameProtocol | None = None
        try:
            async with asyncio.timeout(self._timeouts.connecting_s):
                host, port = await self._find_peer()
                self._welcomed = loop.create_future()
                _, connection = await loop.create_connection(
                    lambda: FrameProtocol(self._on_frame, self._on_lost, log=self._frame_log),
                    host,
                    port,
                )
                connection.send([HELLO, self._token])
                await self._welcomed
        except Exception as error:  # noqa: BLE001
            # Whatever the search for a node ended with (the cluster's own errors among it), the
            # node above cannot be reached now; queries go elsewhere and the search goes on.
            if connection is not None:
                connection.abort()
            self._attempted_s = self._clock()
            what = str(error) or type(error).__name__
            self._failed = RefusedError(RefusalReason.PEER_UNREACHABLE, f"the node above: {what}")
            self._log.unreachable(what)
            raise _copy(self._failed) from None
        finally:
            if self._welcomed is not None:
                self._welcomed.cancel()  # nobody waits for it any more
        self._failed = None
        self._connection = connection
        self._log.connected(host, port)
        self._watching = loop.create_task(self._watch(connection))
        return connection

    async def _watch(self, connection: FrameProtocol) -> None:
        """Give up a connection that shows no life, and queries that wait too long.

        Silence is counted in beats of this loop's own, so that a loop that stood still itself
        does not blame the far side.
        """
        missed = 0
        while connection.connected:
            await asyncio.sleep(self._timeouts.beat_s)
            missed = 0 if self._heard or not self._in_flight else missed + 1
            if missed * self._timeouts.beat_s >= self._timeouts.silence_s:
                self._lost_because = f"no sign of life for {self._timeouts.silence_s:g} s"
                connection.abort()
                return
            if not self._in_flight:
                continue
            self._heard = False
            connection.send([PING])
            overdue_s = self._clock() - self._timeouts.answer_s
            for call in self._calls.values():
                if call.sent_s < overdue_s and not call.future.done():
                    message = f"no answer over the link within {self._timeouts.answer_s:g} s"
                    call.future.set_exception(RefusedError(RefusalReason.PEER_SILENT, message))
                    self._log.unanswered(self._timeouts.answer_s)

    def _on_frame(self, _: FrameProtocol, fields: list[Any]) -> None:
        self._heard = True
        kind = fields[0]
        if kind == ANSWER:
            call = self._calls.get(parse_number(fields))
            if call is not None and not call.future.done():  # else its caller has gone
                call.future.set_result(parse_answer(fields, call.asks))
        elif kind == WELCOME:
            if self._welcomed is not None and not self._welcomed.done():
                self._welcomed.set_result(None)
        elif kind != PONG:
            raise unexpected_kind(kind)

    def _on_lost(self, connection: FrameProtocol) -> None:
        if connection is not self._connection:  # of an attempt
            if self._welcomed is not None and not self._welcomed.done():
                self._welcomed.set_exception(
                    ConnectionError("it closed the connection before it welcomed this node")
                )
            return
        self._connection = None
        if not self._closing:
            self._log.lost(self._lost_because, len(self._calls))
            self._lost_because = "it went away"
        for call in self._calls.values():
            if not call.future.done():
                message = "the node above went away"
                call.future.set_exception(RefusedError(RefusalReason.PEER_LOST, message))


def _copy(refusal: RefusedError) -> RefusedError:
    """A refusal for each caller: an exception keeps the traceback that it was raised with."""
    return RefusedError(refusal.reason, refusal.message, refusal.retry_after_s)


def _retrieve(attempt: asyncio.Task[FrameProtocol]) -> None:
    """An attempt that nobody waits for any more may fail without a warning."""
    if not attempt.cancelled():
        attempt.exception()
