"""The connection to the node above: made, watched, lost and made again; queries go over it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from serving.errors import RefusalReason, RefusedError
from serving.node.device.served import Image
from serving.node.links.framing import FrameProtocol, make_frame_log
from serving.node.links.link_condition import LinkCondition
from serving.node.links.link_log import LinkLog
from serving.node.links.messages import (
    ANSWER,
    CANCEL,
    ECHO,
    HELLO,
    PING,
    PONG,
    PROBE,
    WELCOME,
    AskOutcome,
    encode_query,
    parse_answer,
    parse_echo,
    parse_number,
    unexpected_kind,
)
from serving.routing.routes import Ask
from serving.tracing.active import active_span

__all__ = ["PeerConnection", "UplinkTimeouts"]

CUT = "the link to the node above is cut"
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


class PeerConnection:
    """`Transport` over one multiplexed connection.

    `find_peer` gives the current (host, port) of the far node; it is asked again after every
    loss, because a restarted node listens elsewhere. `node` and `peer` are the names of the two
    ends in the log.
    """

    def __init__(
        self,
        find_peer: FindPeer,
        token: str,
        *,
        timeouts: UplinkTimeouts | None = None,
        clock: Callable[[], float] = time.monotonic,
        node: str = "",
        peer: str = "the node above",
    ) -> None:
        self._find_peer = find_peer
        self._token = token
        self._timeouts = timeouts or UplinkTimeouts()
        self._clock = clock
        self._log = LinkLog(node, peer, clock)
        self._frame_log = make_frame_log(node)
        self._connection: FrameProtocol | None = None
        self._welcomed: asyncio.Future[None] | None = None
        self._attempt: asyncio.Task[FrameProtocol] | None = None
        self._attempted_s = 0.0
        self._failed: RefusedError | None = None
        self._lost_because = "it went away"
        self._closing = False
        self._condition = LinkCondition()
        self._carries = asyncio.Event()
        """unless the link is silent"""
        self._carries.set()
        self._opening: FrameProtocol | None = None
        """a connection that is not welcomed yet"""
        self._unheard: list[FrameProtocol] = []
        """connections that were given up on a silent link, so that the far side holds them still"""
        self._watching: asyncio.Task[None] | None = None
        self._heard = True
        self._here = 0  # queries that are out, or wait for the connection
        self._calls: dict[int, _Call] = {}
        self._probes: dict[int, asyncio.Future[float]] = {}
        self._numbers = count()

    def refusal(self) -> RefusedError | None:
        """See `Transport.refusal`."""
        if self._condition.is_cut:
            return RefusedError(RefusalReason.PEER_UNREACHABLE, CUT)
        if self._failed is None or (self._connection is not None and self._connection.connected):
            return None
        recently = self._clock() < self._attempted_s + self._timeouts.again_s
        return _copy(self._failed) if recently else None

    def prepare(self) -> None:
        """See `Transport.prepare`."""
        if self._connection is None and (self._attempt is None or self._attempt.done()):
            self._attempt = self._begin()

    def close(self) -> None:
        """See `Transport.close`."""
        self._closing = True
        for task in (self._attempt, self._watching):
            if task is not None:
                task.cancel()
        if self._connection is not None:
            self._connection.close()
        self._end_unheard()

    def change(self, condition: LinkCondition) -> None:
        """See `Transport.change`."""
        self._condition = condition
        if condition.is_cut and self._connection is not None:
            self._lost_because = "the link was cut"
            self._connection.abort()  # before what waits on a silent link could leave
        for connection in (self._connection, self._opening):
            if connection is not None:
                connection.hold(condition.silent)
        if condition.silent:
            self._carries.clear()
        else:
            self._carries.set()
            self._end_unheard()

    async def exchange(
        self,
        asks: tuple[Ask, ...],
        image: Image,
        latest_s: float | None,
        on_sent: Callable[[], None],
    ) -> list[AskOutcome]:
        """See `Transport.exchange`."""
        self._here += 1
        try:
            return await self._exchange(asks, image, latest_s, on_sent)
        finally:
            self._here -= 1

    async def probe(self, size_bytes: int, on_sent: Callable[[], None]) -> float:
        """See `Transport.probe`."""
        self._here += 1
        number = next(self._numbers)
        try:
            connection = await self._ready()
            arrived: asyncio.Future[float] = asyncio.get_running_loop().create_future()
            self._probes[number] = arrived
            connection.send([PROBE, number, bytes(size_bytes)])
            on_sent()
            return await arrived
        finally:
            self._probes.pop(number, None)
            self._here -= 1

    async def _ready(self) -> FrameProtocol:
        """The connection, once it takes what is sent."""
        if self._condition.is_cut:
            raise RefusedError(RefusalReason.PEER_UNREACHABLE, CUT)
        connection = self._connection
        if connection is None or not connection.connected:
            connection = await self._connect()
        await connection.drain()
        if self._condition.is_cut:  # while it was made
            raise RefusedError(RefusalReason.PEER_UNREACHABLE, CUT)
        if not connection.connected:
            raise RefusedError(RefusalReason.PEER_LOST, "the node above went away")
        return connection

    async def _exchange(
        self,
        asks: tuple[Ask, ...],
        image: Image,
        latest_s: float | None,
        on_sent: Callable[[], None],
    ) -> list[AskOutcome]:
        connection = await self._ready()
        number = next(self._numbers)
        now_s = self._clock()
        call = _Call(asks, asyncio.get_running_loop().create_future(), now_s)
        self._calls[number] = call
        remaining_s = None if latest_s is None else latest_s - now_s
        span = active_span()
        traceparent = "" if span is None else span.traceparent
        connection.send(encode_query(number, asks, remaining_s, image, traceparent))
        on_sent()
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
                await self._carries.wait()
                self._welcomed = loop.create_future()
                _, connection = await loop.create_connection(
                    lambda: FrameProtocol(self._on_frame, self._on_lost, log=self._frame_log),
                    host,
                    port,
                )
                self._opening = connection
                connection.hold(self._condition.silent)
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
        except asyncio.CancelledError:  # the node is closed
            if connection is not None:
                connection.abort()
            raise
        finally:
            self._opening = None
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
            missed = 0 if self._heard or not self._here else missed + 1
            if missed * self._timeouts.beat_s >= self._timeouts.silence_s:
                self._lost_because = f"no sign of life for {self._timeouts.silence_s:g} s"
                self._give_up(connection)
                return
            if not self._here:
                continue
            self._heard = False
            connection.send([PING])
            overdue_s = self._clock() - self._timeouts.answer_s
            for call in self._calls.values():
                if call.sent_s < overdue_s and not call.future.done():
                    message = f"no answer over the link within {self._timeouts.answer_s:g} s"
                    call.future.set_exception(RefusedError(RefusalReason.PEER_SILENT, message))
                    self._log.unanswered(self._timeouts.answer_s)

    def _give_up(self, connection: FrameProtocol) -> None:
        """Use `connection` no more. Over a silent link the far side does not hear of its end."""
        if not self._condition.silent:
            connection.abort()
            return
        self._on_lost(connection)
        self._unheard.append(connection)

    def _end_unheard(self) -> None:
        for connection in self._unheard:
            connection.abort()

    def _on_frame(self, _: FrameProtocol, fields: list[Any]) -> None:
        self._heard = True
        kind = fields[0]
        if kind == ANSWER:
            call = self._calls.get(parse_number(fields))
            if call is not None and not call.future.done():  # else its caller has gone
                call.future.set_result(parse_answer(fields, call.asks))
        elif kind == ECHO:
            number, arrived_s = parse_echo(fields)
            probe = self._probes.get(number)
            if probe is not None and not probe.done():
                probe.set_result(arrived_s)
        elif kind == WELCOME:
            if self._welcomed is not None and not self._welcomed.done():
                self._welcomed.set_result(None)
        elif kind != PONG:
            raise unexpected_kind(kind)

    def _on_lost(self, connection: FrameProtocol) -> None:
        if connection in self._unheard:
            self._unheard.remove(connection)
            return
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
        out: list[asyncio.Future[Any]] = [call.future for call in self._calls.values()]
        for future in [*out, *self._probes.values()]:
            if not future.done():
                message = "the node above went away"
                future.set_exception(RefusedError(RefusalReason.PEER_LOST, message))


def _copy(refusal: RefusedError) -> RefusedError:
    """A refusal for each caller: an exception keeps the traceback that it was raised with."""
    return RefusedError(refusal.reason, refusal.message, refusal.retry_after_s)


def _retrieve(attempt: asyncio.Task[FrameProtocol]) -> None:
    """An attempt that nobody waits for any more may fail without a warning."""
    if not attempt.cancelled():
        attempt.exception()
