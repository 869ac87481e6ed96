"""One HTTP/1.1 connection, held to the door's limits.

A request is handed on when its head is whole, and again with its whole body; answers go out in
the order of their requests. A caller that sends its head or body or takes up its answer too slowly,
sends too much of either, or runs too far ahead of its answers is cut off. When a caller goes away,
what is done for it is cancelled at once. A prompt caller pays for none of it: timers are only
armed when something is left half done.
"""

from __future__ import annotations

import asyncio
import socket
from typing import cast

from serving.errors import BadQueryError, RefusalReason, RefusedError
from serving.http.body import joined
from serving.http.exchange import Head, Response
from serving.http.parser import CachedHead, RequestCycle, RequestParser
from serving.http.responses import error_response, fault
from serving.http.shared import Shared

__all__ = ["HttpConnection"]

QUICKACK = getattr(socket, "TCP_QUICKACK", None)
"""Linux only"""
DISCARD_S = 5.0
"""for the rest of a body whose request was answered before it was read, e.g. because it is too
long: a caller that is cut off while it sends may lose the answer"""
LINGER_S = 1.0
"""for a caller that was refused to read why"""
TURN_BYTES = 2**17
"""after a piece of a body as long as this, others have their turn: libuv reads up to 32 in a row"""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
END, LAST_END = b"\r\n", b"connection: close\r\n\r\n"
"""of a head: the connection goes on, or not"""


class HttpConnection(asyncio.Protocol):
    """One connection of one caller. `Shared` is what it has in common with the server's others."""

    # With a thousand callers, a connection has left the processor's cache by the time its next
    # query comes. Slots keep what has to be fetched again small.
    __slots__ = (
        "__weakref__", "_answering", "_body_timer", "_cycles", "_discard_timer", "_head_timer",
        "_idle_from_s", "_idle_timer", "_input_closed", "_limits", "_loop", "_lost", "_parser",
        "_read_paused", "_shared", "_socket", "_stall_timer", "_transport", "_write_paused",
    )  # fmt: skip
    _transport: asyncio.Transport
    _socket: socket.socket

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._limits = shared.limits
        self._loop = asyncio.get_running_loop()
        self._parser = RequestParser(shared.limits, shared.cached)
        self._cycles = self._parser.cycles
        self._answering: asyncio.Task[None] | None = None
        self._input_closed = self._lost = False
        self._write_paused = self._read_paused = False
        """whether the caller's side of the socket is, and whether ours is not read meanwhile"""
        self._head_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._discard_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._idle_from_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is up."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is of no class of asyncio's
        self._socket = transport.get_extra_info("socket")
        # asyncio leaves it out for a listener made by socket.create_server, whose protocol is 0.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        shared = self._shared
        shared.connections.add(self)
        if len(shared.connections) > shared.affordable:
            self._refuse(
                503, RefusalReason.DOOR_FULL, f"{shared.affordable} connections are open; try again"
            )
            self._transport.close()
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone, and with it the need for an answer."""
        self._lost = self._input_closed = True
        self._shared.connections.discard(self)
        _cancel(
            self._head_timer, self._body_timer, self._discard_timer, self._stall_timer,
            self._idle_timer,
        )  # fmt: skip
        for cycle in self._cycles:
            self._release(cycle)
        self._cycles.clear()
        if self._answering is not None:
            self._answering.cancel()

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes of requests."""
        if self._input_closed:
            return
        parser = self._parser
        if (
            not self._cycles
            and not self._write_paused
            and (cached := parser.find_cached(data)) is not None
        ):
            self._take_cached(cached, data)
            return
        heads = parser.heads
        try:
            parser.feed(data)
        except BadQueryError as error:
            self._end_with(error)
            return
        if len(self._cycles) > self._limits.pipelined:
            self._shared.note_fault(f"over {self._limits.pipelined} requests ahead of answers")
            self._transport.abort()
            return
        if self._head_timer is not None and parser.heads > heads:
            self._head_timer.cancel()
            self._head_timer = None
        self._input_closed = parser.ended
        self._advance()
        if parser.in_body:
            self._acknowledge()
            self._watch_body()
            if len(data) >= TURN_BYTES:
                self._pause_reading(True)
                self._loop.call_soon(self._read_on)
        elif parser.in_head and self._head_timer is None:
            self._await_head()

    def _take_cached(self, cached: CachedHead, data: bytes) -> None:
        """A whole request whose head came before; one that needs no body is answered at once."""
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        begun = cached.begin()
        if isinstance(begun, Response):
            self._transport.write(b"".join((begun.head, END, begun.body)))
            self._after_answers()
        else:
            self._cycles.append(cached.cycle(data, begun))
            self._advance()

    def pause_writing(self) -> None:
        """asyncio: the caller does not take up its answers."""
        self._write_paused = True
        self._watch_writing()
        # Nor is read what would have to be kept until it does: no body is looked at meanwhile.
        self._pause_reading(True)

    def resume_writing(self) -> None:
        """asyncio: it does again."""
        self._write_paused = False
        _cancel(self._stall_timer)
        self._advance()

    def finish(self) -> None:
        """For its server: close once what is being answered is."""
        if not self._cycles:
            self._transport.close()
            return
        self._cycles[0].keep_alive = False

    def abort(self) -> None:
        """For its server: close now."""
        self._transport.abort()

    def _advance(self) -> None:
        """Take every request as far as it gets."""
        cycles = self._cycles
        while cycles and not self._write_paused:
            cycle = cycles[0]
            if cycle.response is None:
                if cycle.exchange is None:
                    self._dispatch(cycle)
                if cycle.response is None and cycle.size_bytes > self._limits.body_bytes:
                    self._decline(cycle, self._too_large(cycle.size_bytes))
                if cycle.whole and cycle.response is None and not cycle.started:
                    self._start(cycle)
                if cycle.response is None:
                    if not cycle.whole:
                        self._watch_body()  # its turn has come while its body has not
                    break
            if not cycle.written:
                self._write(cycle, cycle.response)
                if not cycle.keep_alive:
                    cycles.clear()
                    return
            if not cycle.whole:
                break
            cycles.popleft()
            if self._discard_timer is not None:
                self._discard_timer.cancel()
                self._discard_timer = None
        self._after_answers()

    def _dispatch(self, cycle: RequestCycle) -> None:
        """The head to the application; from then on its body is read if it is wanted."""
        begin = self._shared.app.read(cycle.head)
        self._shared.cached.keep(cycle, begin)
        begun = begin()
        if isinstance(begun, Response):
            cycle.response = begun
            cycle.parts.clear()
            return
        cycle.exchange = begun
        declared = cycle.head.headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > self._limits.body_bytes:
            self._decline(cycle, self._too_large(int(declared)))
        elif not cycle.whole and cycle.head.headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(CONTINUE)

    def _start(self, cycle: RequestCycle) -> None:
        """The body to the application."""
        cycle.started = True
        self._release(cycle)
        parts = cycle.parts
        cycle.parts = []
        self._answering = self._loop.create_task(self._answer(cycle, parts))

    async def _answer(self, cycle: RequestCycle, parts: list[bytes]) -> None:
        assert cycle.exchange is not None
        try:
            body = await joined(parts, cycle.body_start)
            parts.clear()
            cycle.response = await cycle.exchange.answer(body)
        except asyncio.CancelledError:
            if self._lost:  # nobody waits for a reply
                return
            self._transport.abort()
            raise
        except Exception as error:  # noqa: BLE001
            # One exchange that fails must not take the connection's others along in silence.
            self._loop.call_exception_handler(
                {"message": f"{cycle.head.method} {cycle.head.path} failed", "exception": error}
            )
            cycle.response = fault(500, "broken", "the node failed", cycle.exchange.headers)
        finally:
            self._answering = None
        if not self._lost:
            self._advance()

    def _decline(self, cycle: RequestCycle, error: BadQueryError | RefusedError) -> None:
        """Answer before the body is whole, without it."""
        assert cycle.exchange is not None
        cycle.response = error_response(error, cycle.exchange.headers)
        cycle.parts.clear()
        self._release(cycle)

    def _write(self, cycle: RequestCycle, response: Response) -> None:
        cycle.written = True
        end = END if cycle.keep_alive else LAST_END
        if cycle.head.method == "HEAD" or not response.body:
            self._transport.write(response.head + end)
        else:
            self._transport.writelines((response.head, end, response.body))
        if not cycle.keep_alive:
            self._input_closed = True
            self._transport.close()
            if self._transport.get_write_buffer_size():
                self._watch_writing()
        elif not cycle.whole:
            self._discard_timer = self._loop.call_later(DISCARD_S, self._transport.abort)

    def _end_with(self, error: BadQueryError) -> None:
        """The last answer of a stream that cannot be read on, behind those of whole requests."""
        last = self._cycles[-1] if self._cycles else None
        if last is None:
            self._refuse(error.status, "bad_query", str(error))
            return
        self._input_closed = True
        if last.whole:  # the fault is in the head of a request behind it
            last = RequestCycle(Head("GET", "", b"", {}), keep_alive=False)
            self._cycles.append(last)
        elif last.written:  # it was answered before its body was whole, and gets no second answer
            self._transport.close()
            return
        self._release(last)
        last.response = error_response(error, last.exchange.headers if last.exchange else [])
        last.keep_alive, last.whole = False, True
        last.parts.clear()
        self._advance()

    def _refuse(self, status: int, reason: str, message: str) -> None:
        """Say why, and let the caller close; without a word where an earlier request still awaits
        its answer."""
        self._shared.note_fault(message)
        self._input_closed = True
        if any(not cycle.written for cycle in self._cycles):
            self._transport.abort()
            return
        headers = [(b"retry-after", b"1")] if status == 503 else []
        response = fault(status, reason, message, headers)
        self._transport.write(response.head + LAST_END + response.body)
        # Closing now, with bytes unread, would take the answer away from a caller that still sends.
        self._transport.write_eof()
        _cancel(self._stall_timer)
        self._stall_timer = self._loop.call_later(LINGER_S, self._transport.abort)

    def _after_answers(self) -> None:
        """Read on unless requests wait already; where none does, for so long and no longer."""
        self._read_on()
        if not self._cycles and not self._parser.in_head:
            self._idle_from_s = self._loop.time()
            if self._idle_timer is None:
                self._idle_timer = self._loop.call_later(self._limits.idle_s, self._end_idle)

    def _read_on(self) -> None:
        self._pause_reading(self._write_paused or len(self._cycles) > 1)

    def _pause_reading(self, pause: bool) -> None:
        if pause != self._read_paused and not self._transport.is_closing():
            self._read_paused = pause
            (self._transport.pause_reading if pause else self._transport.resume_reading)()

    def _watch_body(self) -> None:
        """Count and time a body that has come in part, once it is its request's cycle."""
        cycle = self._cycles[-1]
        if cycle.exchange is None or cycle.response is not None:
            return
        shared = self._shared
        shared.gathered_bytes += cycle.size_bytes - cycle.held_bytes
        cycle.held_bytes = cycle.size_bytes
        if shared.gathered_bytes > self._limits.gathered_bytes:
            full = RefusedError(RefusalReason.DOOR_FULL, "too many bodies are under way; try again")
            self._decline(cycle, full)
            self._advance()
        elif self._body_timer is None:
            self._body_timer = self._loop.call_later(
                self._limits.body_s, self._end_slow_body, cycle
            )

    def _too_large(self, size_bytes: int) -> BadQueryError:
        most = self._limits.body_bytes
        return BadQueryError(413, f"expected at most {most} bytes, got {size_bytes}")

    def _release(self, cycle: RequestCycle) -> None:
        """A body no longer waits to be whole."""
        self._shared.gathered_bytes -= cycle.held_bytes
        cycle.held_bytes = 0
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _end_slow_body(self, cycle: RequestCycle) -> None:
        cycle.keep_alive = False
        waited = f"the body was not whole {self._limits.body_s:g} s after its headers"
        self._shared.note_fault(waited)
        self._decline(cycle, BadQueryError(408, waited))
        self._advance()

    def _await_head(self) -> None:
        self._head_timer = self._loop.call_later(self._limits.head_s, self._end_slow_head)

    def _end_slow_head(self) -> None:
        self._head_timer = None
        if not self._parser.heads and not self._parser.head_bytes:
            self._transport.close()
        elif not self._cycles:
            self._refuse(408, "too_slow", f"no whole request head in {self._limits.head_s:g} s")
        else:
            self._await_head()  # a head that was sent ahead of an answer may wait for that

    def _watch_writing(self) -> None:
        _cancel(self._stall_timer)
        self._stall_timer = self._loop.call_later(self._limits.write_s, self._end_stalled)

    def _end_stalled(self) -> None:
        self._shared.note_fault(f"answers were not taken up for {self._limits.write_s:g} s")
        self._transport.abort()

    def _end_idle(self) -> None:
        """Nothing came for a while. Closing would wait for bytes nobody takes up."""
        self._idle_timer = None
        if self._cycles or self._parser.in_head or self._parser.in_body:
            return
        left_s = self._idle_from_s + self._limits.idle_s - self._loop.time()
        if left_s > 0:
            self._idle_timer = self._loop.call_later(left_s, self._end_idle)
        elif self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self._transport.close()

    def _acknowledge(self) -> None:
        """Many callers send head and body apart, and their kernel holds the body back until the
        head is acknowledged, which ours would put off for 40 ms."""
        if QUICKACK is not None and not self._lost:
            self._socket.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)


def _cancel(*timers: asyncio.TimerHandle | None) -> None:
    for timer in timers:
        if timer is not None:
            timer.cancel()
