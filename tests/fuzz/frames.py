"""Frames between nodes: understood, or the connection is closed, whatever arrives in what pieces.

An input is a byte that says who sends, `s` a stranger and `t` a node that has shown the token, and
the stream behind it.
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from random import Random
from typing import Any, NamedTuple

import msgpack

from fuzz.bend import bend_bytes, bend_data
from fuzz.target import Target, bounded
from serving.errors import RefusedError
from serving.node.links.framing import FrameProtocol
from serving.node.links.messages import (
    ANSWER,
    CANCEL,
    PING,
    QUERY,
    parse_answer,
    parse_number,
    parse_query,
    unexpected_kind,
)
from serving.routing.routes import Ask
from serving.routing.routes import Target as Way
from support.http_readings import cut_at

__all__ = ["FRAMES"]

ASK = Ask(Way("edge", "e", "m"), ("depth", "edges"))
MOST_S = 0.05
MEMORY_PER_BYTE, MEMORY_FREE_BYTES = 80, 16 * 2**20
"""an empty list is a byte on the wire and 56 in memory, before its place in the list around it"""
LEAVES: tuple[Any, ...] = (
    None, True, 0, -1, 7, 2**63, 1.5, float("nan"), float("inf"), "", "depth", "e" * 300, b"",
    b"x" * 12, [], {}, {1: 2}, [0, 0, 0], [2, 2, 3], [2**31, 2**31, 4], "<f4", "O", "V8", "<f2,<f4",
)  # fmt: skip


class Read(NamedTuple):
    """What became of a stream."""

    frames: tuple[str, ...]
    closed: bool


def _leaf(rng: Random) -> Any:
    return rng.choice(LEAVES)


def make(rng: Random, corpus: Sequence[bytes]) -> bytes:
    data = rng.choice(corpus)
    if rng.random() < 0.5:
        return bend_bytes(rng, data, (b"\x90", b"\x93\x04", b"\xdd\xff\xff\xff\xff"), corpus)
    frames = list(_unframed(data[1:]))
    if not frames:
        return data
    place = rng.randrange(len(frames))
    frames[place] = bend_data(rng, frames[place], _leaf)
    return data[:1] + b"".join(map(_framed, frames))


def _unframed(stream: bytes) -> Iterable[Any]:
    while len(stream) >= 4:
        (size,) = struct.unpack_from("!I", stream)
        with suppress(ValueError, msgpack.UnpackException):
            yield msgpack.unpackb(stream[4 : 4 + size], raw=False)
        stream = stream[4 + size :]


def _framed(fields: Any) -> bytes:
    packed: bytes = b""
    with suppress(OverflowError):
        packed = msgpack.packb(fields, use_bin_type=True)
    return struct.pack("!I", len(packed)) + packed


class _Transport(asyncio.Transport):
    """Knows only whether it was aborted."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted


def _read(pieces: Sequence[bytes], trusted: bool) -> Read:
    """The frames as both ends of a link read them."""
    frames: list[str] = []

    def on_frame(_: FrameProtocol, fields: list[Any]) -> None:
        kind = fields[0]
        if kind == QUERY:
            query = parse_query(fields)
            assert query.image.size == len(fields[5])
            assert all(isinstance(task, str) for ask in query.asks for task in ask.tasks)
        elif kind == ANSWER:
            parse_number(fields)
            for outcome in parse_answer(fields, (ASK,)):
                assert isinstance(outcome, RefusedError) or outcome.served.keys() >= set(ASK.tasks)
        elif kind == CANCEL:
            parse_number(fields)
        elif kind != PING:
            raise unexpected_kind(kind)
        frames.append(repr(fields))

    transport = _Transport()
    protocol = FrameProtocol(on_frame, trusted=trusted)
    protocol.connection_made(transport)
    for piece in pieces:
        if transport.aborted:
            break
        protocol.data_received(piece)
    return Read(tuple(frames), transport.aborted)


def check(data: bytes) -> None:
    trusted, stream = data[:1] == b"t", data[1:]
    whole = bounded(
        lambda: _read([stream], trusted),
        most_s=MOST_S,
        most_bytes=MEMORY_PER_BYTE * len(stream) + MEMORY_FREE_BYTES,
    )
    rng = Random(zlib.crc32(stream))
    places = [rng.randrange(len(stream) + 1) for _ in range(rng.randint(1, 6))]
    assert _read(cut_at(stream, places), trusted) == whole


FRAMES = Target("frames", make, check)
