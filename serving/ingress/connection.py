"""One HTTP connection, held to the door's limits: uvicorn's, with time-outs and bounds it lacks.

A caller that sends its request head or takes up its answer too slowly, sends too long a head, or
runs too far ahead of its answers is cut off. When a caller goes away, the exchange that runs for
it (`running`, set by the application) is cancelled at once. A prompt caller pays for none of it:
timers are only armed when something is left half done.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from serving.ingress.limits import Limits

__all__ = ["BACKLOG", "GuardedConnection", "make_server"]

BACKLOG = 4_096
QUICKACK = getattr(socket, "TCP_QUICKACK", None)
"""Linux only"""
DISCARD_S = 5.0
"""for the rest of a body whose request was answered before it was read, e.g. because it is too
long: a caller that is cut off while it sends may lose the answer"""
LINGER_S = 1.0
"""for a caller that was refused to read why"""


TurnAway = Callable[[Any], tuple[int, list[tuple[bytes, bytes]], bytes] | None]
"""a request's ASGI scope -> the whole answer, if its head is enough for one"""


class GuardedConnection(HttpToolsProtocol):
    """See the module. `limits` and `turn_away` are set by `make_server`."""

    limits = Limits()
    turn_away: TurnAway
    affordable = limits.connections
    running: asyncio.Task[Any] | None = None
    lost = False
    _exchange: RequestResponseCycle | None = None
    _head_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None
    _refused = False
    _in_head = True
    _in_body = False
    _head_bytes = 0
    _fault = (400, "bad_query", "this is not HTTP/1.1")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """asyncio: the connection is up."""
        super().connection_made(transport)
        self._socket = transport.get_extra_info("socket")
        # asyncio leaves it out for a listener made by socket.create_server, whose protocol is 0.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self.connections) > self.affordable:
            self._refuse(503, "door_full", f"{self.affordable} connections are open; try again")
            self.transport.close()
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone, and with it the need for an answer."""
        self.lost = True
        _cancel(self._head_timer)
        _cancel(self._stall_timer)
        self._unset_keepalive_if_required()
        if self._exchange is not None:  # uvicorn tells only the latest of pipelined exchanges
            self._exchange.disconnected = True
        super().connection_lost(exc)
        if self.running is not None and not self.running.done():
            self.running.cancel()

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes of requests; counts those of an unfinished head."""
        if self._refused:
            return
        unfinished = self._in_head
        super().data_received(data)
        if self._refused or self.transport.is_closing():
            return
        if self._in_body:
            self._acknowledge()
            return
        if not self._in_head:
            if self._head_timer is None and self.cycle.response_complete:
                self._await_head()  # for empty lines before a head
            return
        # Of a chunk in which the head began, some bytes are the end of the request before it.
        self._head_bytes = self._head_bytes + len(data) if unfinished else 0
        if self._head_bytes > self.limits.head_bytes:
            self._refuse(431, "bad_query", f"the head is over {self.limits.head_bytes} bytes")
        elif self._head_timer is None:
            self._await_head()

    def on_message_begin(self) -> None:
        """httptools: a request starts."""
        super().on_message_begin()
        self.scope["connection"] = self  # type: ignore[typeddict-unknown-key]
        self._in_head = True

    def on_headers_complete(self) -> None:
        """httptools: a request's head is whole."""
        self._in_head, self._in_body, self._head_bytes = False, True, 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        head_bytes = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if len(self.headers) > self.limits.headers or head_bytes > self.limits.head_bytes:
            self._fault = (
                431,
                "bad_query",
                f"expected at most {self.limits.headers} headers and {self.limits.head_bytes} "
                "bytes of them",
            )
            raise ValueError(self._fault[2])
        super().on_headers_complete()
        if len(self.pipeline) > self.limits.pipelined:
            self.transport.abort()

    def on_message_complete(self) -> None:
        """httptools: a request's body is whole."""
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """uvicorn: an answer was handed to the socket."""
        super().on_response_complete()
        if self.pipeline:  # a request whose body is awaited turns reading on again by itself
            self.flow.pause_reading()
        if self._in_body and self.cycle.response_complete and self._stall_timer is None:
            self._stall_timer = self.loop.call_later(DISCARD_S, self._end_discarding)
        if self.transport.is_closing() and self.transport.get_write_buffer_size():
            self._await_reader()

    async def reply(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Answer the exchange that runs: what ASGI's two messages do, checked and written once.

        Nothing that a caller sent may stand in `headers` unless it was found to be printable.
        """
        if self.flow.write_paused:
            await self.flow.drain()
        if self._exchange is not None and not self._exchange.disconnected:
            self._write_reply(self._exchange, status, headers, body)

    def _write_reply(
        self,
        exchange: RequestResponseCycle,
        status: int,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
    ) -> None:
        head = [STATUS_LINE[status]]
        for name, value in headers:
            head += (name, b": ", value, b"\r\n")
        head.append(b"\r\n" if exchange.keep_alive else b"connection: close\r\n\r\n")
        exchange.response_started, exchange.waiting_for_100_continue = True, False
        whole = (b"".join(head),) if exchange.scope["method"] == "HEAD" else (b"".join(head), body)
        self.transport.writelines(whole)
        exchange.response_complete = True
        exchange.message_event.set()
        if not exchange.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def pause_writing(self) -> None:
        """asyncio: the caller does not take up its answers."""
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        """asyncio: it does again."""
        super().resume_writing()
        _cancel(self._stall_timer)
        self._stall_timer = None

    def timeout_keep_alive_handler(self) -> None:
        """uvicorn: nothing came for a while. Closing would wait for bytes nobody takes up."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._exchange = cycle
        answer = None if self.flow.write_paused else self.turn_away(cycle.scope)
        if answer is None:
            super()._start_asgi_task(cycle, app)
        else:
            self._write_reply(cycle, *answer)

    def send_400_response(self, msg: str) -> None:
        """uvicorn: the parser gave up."""
        self._refuse(*self._fault)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.limits.head_s, self._end_slow_head)

    def _end_slow_head(self) -> None:
        self._head_timer = None
        if self.cycle is None and not self._head_bytes:
            self.transport.close()
        elif self.cycle is None or self.cycle.response_complete:
            self._refuse(408, "too_slow", f"no whole request head in {self.limits.head_s:g} s")
        else:
            self._await_head()  # a head that was sent ahead of an answer may wait for that

    def _acknowledge(self) -> None:
        """Many callers send head and body apart, and their kernel holds the body back until the
        head is acknowledged, which ours would put off for 40 ms."""
        if QUICKACK is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)

    def _await_reader(self) -> None:
        _cancel(self._stall_timer)
        self._stall_timer = self.loop.call_later(self.limits.write_s, self.transport.abort)

    def _end_discarding(self) -> None:
        self._stall_timer = None
        if self._in_body and self.cycle.response_complete:
            self.transport.abort()

    def _refuse(self, status: int, reason: str, message: str) -> None:
        """Say why, and let the caller close; without a word where an earlier request still awaits
        its answer."""
        self._refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()
            return
        content = json.dumps({"error": message, "reason": reason}).encode()
        retry = b"retry-after: 1\r\n" if status == 503 else b""
        head = (
            b"%scontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n%s\r\n"
        )
        self.transport.write(head % (STATUS_LINE[status], len(content), retry) + content)
        # Closing now, with bytes unread, would take the answer away from a caller that still sends.
        self.transport.write_eof()
        _cancel(self._stall_timer)
        self._stall_timer = self.loop.call_later(LINGER_S, self.transport.abort)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def make_server(app: Any, limits: Limits, turn_away: TurnAway = lambda _: None) -> uvicorn.Server:
    """uvicorn for `app`, with every connection held to `limits`; what `turn_away` answers from a
    request's head alone never reaches `app`."""
    guarded = type(
        "GuardedConnection",
        (GuardedConnection,),
        {
            "limits": limits,
            "affordable": limits.affordable_connections,
            "turn_away": staticmethod(turn_away),
        },
    )
    return uvicorn.Server(
        uvicorn.Config(
            app, http=guarded, ws="none", lifespan="off", log_level="error", access_log=False,
            backlog=BACKLOG, proxy_headers=False, server_header=False, date_header=False,
            timeout_keep_alive=int(limits.idle_s), timeout_graceful_shutdown=5,
        )
    )  # fmt: skip
