"""Streams of HTTP/1.1: no request that h11 reads otherwise, in whatever pieces they arrive."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from random import Random

from fuzz.bend import bend_bytes
from fuzz.target import Target
from support.http_readings import BODIES, ENDS, HEADERS, LINES, by_us, compare, cut_at

__all__ = ["HTTP"]

WORDS = (*HEADERS, *BODIES, *LINES, b"\r\n", b"\r\n\r\n", b"\n", b"0\r\n\r\n", b"HTTP/1.1", b": ")


def make(rng: Random, corpus: Sequence[bytes]) -> bytes:
    stream = b"".join(_message(rng) for _ in range(rng.randint(1, 3)))
    if rng.random() < 0.3:
        stream = rng.choice(corpus)
    return stream if rng.random() < 0.4 else bend_bytes(rng, stream, WORDS, corpus)


def _message(rng: Random) -> bytes:
    lines = [rng.choice(LINES[:3] if rng.random() < 0.6 else LINES)]
    if rng.random() < 0.7:
        lines.append(b"Host: x")
    lines += [rng.choice(HEADERS) for _ in range(rng.randint(0, 3))]
    end = rng.choice(ENDS)
    return end.join(lines) + end + end + rng.choice(BODIES)


def check(stream: bytes) -> None:
    compare(stream, [stream])
    rng = Random(zlib.crc32(stream))
    pieces = cut_at(stream, [rng.randrange(len(stream) + 1) for _ in range(rng.randint(1, 6))])
    compare(stream, pieces)
    whole, cut = by_us([stream]), by_us(pieces)
    assert (whole.requests, whole.refused) == (cut.requests, cut.refused), pieces
    # The second time every head is known.
    again = by_us([stream, stream])
    assert again.requests[: len(whole.requests)] == whole.requests
    compare(stream + stream, [stream, stream])


HTTP = Target("http", make, check)
