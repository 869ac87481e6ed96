"""Pictures: what their header says, without a decoder. `fuzz.decoded_pictures` decodes them."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Sequence
from contextlib import suppress
from random import Random

from PIL import Image

from fuzz.bend import bend_bytes
from fuzz.target import Target, bounded
from models.runtime.picture_header import (
    ImageError,
    PictureHeader,
    check_cost,
    png_without_extras,
    read_header,
)

__all__ = ["PICTURE_HEADERS", "make"]

MOST_S = 0.03
"""of the event loop; docs/protocol.md promises 5 ms, which a busy machine cannot be held to"""
PNG = b"\x89PNG\r\n\x1a\n"
WORDS = (
    b"\xff\xd8", b"\xff\xd9", b"\xff\xc0\x00\x11\x08\x40\x00\x40\x00\x03", b"\xff\xda\x00\x0c",
    b"\xff\xe1\x00\x10Exif\0\0II*\0", b"IHDR", b"IDAT", b"IEND", b"tRNS", b"PLTE", b"acTL", b"\xff",
    b"\x00\x00\x00\x00IEND\xaeB`\x82", b"\xff\xd0", b"\xff\xc2", b"\xff\xc4\x00\x02",
)  # fmt: skip


def make(rng: Random, corpus: Sequence[bytes]) -> bytes:
    """A picture with some bytes changed; of a PNG, mostly within chunks whose sums are right."""
    picture = rng.choice(corpus)
    if picture.startswith(PNG) and rng.random() < 0.7:
        return _bend_chunk(rng, picture)
    return bend_bytes(rng, picture, WORDS, corpus)


def _bend_chunk(rng: Random, picture: bytes) -> bytes:
    chunks, place = [], len(PNG)
    while place + 12 <= len(picture):
        (size,) = struct.unpack_from(">I", picture, place)
        chunks.append((picture[place + 4 : place + 8], picture[place + 8 : place + 8 + size]))
        place += 12 + size
    if not chunks:
        return bend_bytes(rng, picture, WORDS)
    bent = rng.randrange(len(chunks))
    kind, data = chunks[bent]
    if kind == b"IDAT" and rng.random() < 0.5:
        with suppress(zlib.error):
            data = zlib.compress(bend_bytes(rng, zlib.decompress(data)))
    elif rng.random() < 0.2:
        kind = rng.choice((b"IDAT", b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"zTXt", b"abCD"))
    else:
        data = bend_bytes(rng, data, WORDS)
    chunks[bent] = (kind, data)
    return PNG + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def check_header(body: bytes) -> None:
    """A header is read as Pillow reads it, quickly, or the body is refused."""
    with suppress(ImageError):
        header = bounded(lambda: _judge(body), most_s=MOST_S, most_bytes=2 * len(body) + 2**24)
        assert 1 <= header.orientation <= 8
        with warnings.catch_warnings(), suppress(OSError, SyntaxError, ValueError):
            warnings.simplefilter("ignore")
            with suppress(Image.DecompressionBombError):
                picture = Image.open(io.BytesIO(body), formats=("PNG", "JPEG"))
                assert picture.size == (header.width, header.height)


def _judge(body: bytes) -> PictureHeader:
    header = read_header(body)
    check_cost(header, len(body))
    if header.format == "PNG":
        clean = png_without_extras(body)
        assert read_header(clean).pixels == header.pixels
    return header


PICTURE_HEADERS = Target("picture_headers", make, check_header, folder="pictures")
