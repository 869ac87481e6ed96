"""Length-prefixed msgpack frames over a stream, many to a write.

A frame is a 4-byte big-endian length and a msgpack array. Frames sent within one turn of the
event loop leave in one write, so a burst of queries crosses a hop as an aggregate, of at most
`AGGREGATE_BYTES` and one more frame; none waits longer than that turn. Nothing here can run code
from the wire.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from typing import Any, cast

import msgpack

from serving.errors import FrameError
from serving.logs.logger import NodeLogger

__all__ = ["MAX_FRAME_BYTES", "FrameProtocol", "make_frame_log"]

MAX_FRAME_BYTES = 32 * 2**20
STRANGER_FRAME_BYTES = 1024
"""longest frame of a connection that has not shown the token yet"""
AGGREGATE_BYTES = 2**20
KEEP_ALIVE = {
    "TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 60_000,
}  # fmt: skip
"""seconds of silence until the far side is asked for life, seconds between asking again, how often;
milliseconds that what was sent may stay without a receipt: each way it ends after a minute"""
_LENGTH = struct.Struct("!I")
_log = logging.getLogger(__name__)
MAX_LINES = 10
"""a minute, of refused frames of one node's connections"""


def make_frame_log(node: str) -> NodeLogger:
    """What the connections of `node` say refused frames to, all of them together."""
    return NodeLogger(_log, node)


class FrameProtocol(asyncio.Protocol):
    """Both ends of a connection. `on_frame(self, fields)` is called for each whole frame.

    A frame that is too long, not msgpack, or for which `on_frame` raises `FrameError`, is logged
    and closes this connection. `trusted` is set by its owner once the far side has shown the
    token. With `echoes_pressure` nothing is read from a far side that does not take what it is
    sent; only one of two ends may do so, or both could wait for each other.
    """

    def __init__(
        self,
        on_frame: Callable[[FrameProtocol, list[Any]], None],
        on_lost: Callable[[FrameProtocol], None] = lambda _: None,
        *,
        trusted: bool = True,
        echoes_pressure: bool = False,
        log: NodeLogger | None = None,
    ) -> None:
        self._log = log or make_frame_log("")
        self._on_frame = on_frame
        self._on_lost = on_lost
        self.trusted = trusted
        self._echoes_pressure = echoes_pressure
        self._received = bytearray()
        self._outgoing: list[bytes] = []
        self._outgoing_bytes = 0
        self._transport: asyncio.Transport | None = None
        self._ended = False
        self._held = False
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def connected(self) -> bool:
        """Whether frames can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def peer(self) -> object:
        """The address of the far side; None once the connection has gone."""
        return self._transport and self._transport.get_extra_info("peername")

    def send(self, fields: list[Any]) -> None:
        """Queue a frame for this turn's write. Dropped if the connection has gone."""
        packed = msgpack.packb(fields, use_bin_type=True)
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing += (_LENGTH.pack(len(packed)), packed)
        self._outgoing_bytes += len(packed)
        if self._outgoing_bytes >= AGGREGATE_BYTES:
            self._flush()

    async def drain(self) -> None:
        """Wait until the far side keeps up with what was sent."""
        await self._writable.wait()

    def close(self) -> None:
        """Close after what was queued has left; a connection still being made, once it is."""
        self._ended = True
        if self._transport is not None:
            self._flush()
            self._transport.close()

    def abort(self) -> None:
        """Close at once, whatever was queued; a connection still being made, once it is."""
        self._ended = True
        self._received.clear()
        if self._transport is not None:
            self._transport.abort()

    def hold(self, held: bool) -> None:
        """Be as on a line that carries nothing, until it is called with False: what is sent waits,
        and what arrives is not read."""
        if held == self._held:
            return
        self._held = held
        if self._transport is None:
            return
        if held:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
            self._flush()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is up."""
        # uvloop's transports are Transports in all but their base class.
        self._transport = cast(asyncio.Transport, transport)
        _keep_alive(self._transport.get_extra_info("socket"))
        if self._ended:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone."""
        self._transport = None
        self._outgoing.clear()
        self._writable.set()
        self._on_lost(self)

    def pause_writing(self) -> None:
        """asyncio: the far side is slow."""
        self._writable.clear()
        if self._echoes_pressure and self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """asyncio: the far side has caught up."""
        self._writable.set()
        if self._echoes_pressure and self._transport is not None:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """asyncio: cut what arrived into frames."""
        self._received += data
        try:
            self._cut()
        except FrameError as error:
            self._log.limited(
                logging.WARNING,
                "refused",
                "closed the connection with %s: %s",
                self.peer,
                error,
                burst=MAX_LINES,
            )
            self.abort()

    def _cut(self) -> None:
        received = self._received
        start = 0
        while len(received) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(received, start)
            longest = MAX_FRAME_BYTES if self.trusted else STRANGER_FRAME_BYTES
            if length > longest:
                raise FrameError(f"a frame of {length} bytes, at most {longest} are taken")
            end = start + _LENGTH.size + length
            if len(received) < end:
                break
            with memoryview(received) as view, view[start + _LENGTH.size : end] as packed:
                fields = _unpack(packed)
            start = end
            self._on_frame(self, fields)
        del received[:start]

    def _flush(self) -> None:
        if self._held:
            return
        if self._transport is not None and self._outgoing:
            self._transport.writelines(self._outgoing)
        self._outgoing = []
        self._outgoing_bytes = 0


def _keep_alive(connection: socket.socket | None) -> None:
    """Have the kernel end a connection whose far side vanished without a word, which nobody would
    notice here while there is nothing to send."""
    if connection is None:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEP_ALIVE.items():
        if (option := getattr(socket, name, None)) is not None:  # not every system has them all
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _unpack(packed: memoryview) -> list[Any]:
    try:
        fields = msgpack.unpackb(packed, raw=False)
    except (ValueError, RecursionError, msgpack.UnpackException) as error:
        raise FrameError(f"a frame is not msgpack: {error}") from None
    if not isinstance(fields, list) or not fields:
        raise FrameError("a frame is not an array with a kind")
    return fields
