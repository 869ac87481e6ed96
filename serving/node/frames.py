"""Length-prefixed msgpack frames over a stream, many to a write.

A frame is a 4-byte big-endian length and a msgpack array. Frames sent within one turn of the
event loop leave in one write, so a burst of queries crosses a hop as one aggregate, and answers
come back one by one as they are ready. Nothing here can run code from the wire.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, cast

import msgpack

__all__ = ["MAX_FRAME_BYTES", "FrameProtocol"]

MAX_FRAME_BYTES = 32 * 2**20
_LENGTH = struct.Struct("!I")


class FrameProtocol(asyncio.Protocol):
    """Both ends of a connection. `on_frame(self, fields)` is called for each whole frame.

    A frame over `MAX_FRAME_BYTES` or one that is not msgpack closes the connection.
    """

    def __init__(
        self,
        on_frame: Callable[[FrameProtocol, list[Any]], None],
        on_lost: Callable[[FrameProtocol], None] = lambda _: None,
    ) -> None:
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._received = bytearray()
        self._outgoing: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def connected(self) -> bool:
        """Whether frames can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, fields: list[Any]) -> None:
        """Queue a frame for this turn's write. Dropped if the connection has gone."""
        packed = msgpack.packb(fields, use_bin_type=True)
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing += (_LENGTH.pack(len(packed)), packed)

    async def drain(self) -> None:
        """Wait until the far side keeps up with what was sent."""
        await self._writable.wait()

    def close(self) -> None:
        """Close after what was queued has left."""
        if self._transport is not None:
            self._flush()
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is up."""
        # uvloop's transports are Transports in all but their base class.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone."""
        self._transport = None
        self._outgoing.clear()
        self._writable.set()
        self._on_lost(self)

    def pause_writing(self) -> None:
        """asyncio: the far side is slow."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """asyncio: the far side has caught up."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """asyncio: cut what arrived into frames."""
        received = self._received
        received += data
        start = 0
        while len(received) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(received, start)
            if length > MAX_FRAME_BYTES:
                self._abort()
                return
            end = start + _LENGTH.size + length
            if len(received) < end:
                break
            with memoryview(received) as view:
                fields = _unpack(view[start + _LENGTH.size : end])
            if fields is None:
                self._abort()
                return
            start = end
            self._on_frame(self, fields)
        del received[:start]

    def _flush(self) -> None:
        if self._transport is not None and self._outgoing:
            self._transport.writelines(self._outgoing)
        self._outgoing = []

    def _abort(self) -> None:
        self._received.clear()
        if self._transport is not None:
            self._transport.abort()


def _unpack(view: memoryview) -> list[Any] | None:
    try:
        fields = msgpack.unpackb(view, raw=False)
    except (ValueError, msgpack.UnpackException):
        return None
    return fields if isinstance(fields, list) and fields else None
