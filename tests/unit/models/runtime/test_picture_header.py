"""What a picture may cost is judged from its header, and judged as Pillow would read it."""

from __future__ import annotations

import io
import struct
import time
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.runtime.picture_header import (
    MAX_PARTS,
    ImageError,
    check_cost,
    picture_memory_bytes,
    png_without_extras,
    read_header,
)


def saved(size: tuple[int, int], kind: str, mode: str = "RGB", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def refusal_of(body: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        check_cost(read_header(body), len(body))
    assert "\n" not in str(caught.value)
    return str(caught.value)


PROGRESSIVE = saved((2_048, 2_048), "JPEG", progressive=True)


def with_scans(body: bytes, more: int) -> bytes:
    """The JPEG with its last scan repeated, as a hostile caller does."""
    start = body.rindex(b"\xff\xda")
    scan = body[start:-2]
    return body[:-2] + scan * more + body[-2:]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (saved((1, 131_072), "PNG"), "no side over 32768 or 64 times the other"),
        (saved((100, 6_500), "PNG", "L"), "64 times the other"),
        (saved((20_000, 20_000), "PNG", "1"), "got a PNG of 20000x20000"),
        (saved((2_800, 2_900), "PNG", "L"), "far less than its pixels take"),
        (PROGRESSIVE[:300] + b"\xff\xda" + bytes(50), "far less than its pixels take"),
        (with_scans(saved((900, 900), "JPEG", progressive=True), 200), "scans; save it in fewer"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"tEXt", b"a\0b") + saved((8, 8), "PNG")[8:],
         "does not begin with IHDR"),
        (saved((8, 8), "PNG")[:33] + chunk(b"tEXt", b"a\0b") * (MAX_PARTS + 1), "chunks"),
        (b"\xff\xd8" + b"\xff\xe0\x00\x02" * (MAX_PARTS + 1), "segments"),
        (b"\xff\xd8\xff\xe0\x00\x01", "without a length"),
        (b"\xff\xd8\xff\xda\x00\x02", "does not say its size"),
        (saved((2_200, 2_200), "JPEG", "CMYK", progressive=True), "far less than its pixels take"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 0, 0, 0, 0))
         + chunk(b"tRNS", b"\x12\x34") + chunk(b"IEND", b""), "16 bits a colour with one that is"),
        (b"", "empty body"),
        (b"GIF89a", "something else"),
    ],
)  # fmt: skip
def test_what_would_cost_too_much_is_refused_before_it_is_decoded(body: bytes, words: str) -> None:
    assert words in refusal_of(body)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("size", [(96, 96), (640, 480), (31, 1_900), (1_600, 1_200)])
def test_ordinary_pictures_pass(kind: str, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, kind, **({"progressive": True} if kind == "JPEG" else {}))
    body = stream.getvalue()
    header = read_header(body)
    assert (header.format, header.width, header.height) == (kind, *size)
    assert (header.scans > 1) is (kind == "JPEG")
    check_cost(header, len(body))


def scans_of(body: bytes) -> int:
    return read_header(body).scans


def test_scans_are_those_of_the_first_picture_and_no_bytes_that_look_like_one() -> None:
    noise = Image.fromarray(np.random.default_rng(4).integers(0, 256, (90, 90, 3), np.uint8))
    stream = io.BytesIO()
    noise.save(stream, "JPEG", progressive=True, restart_marker_blocks=4)
    body = stream.getvalue()
    assert scans_of(body) == 10
    looks_like = b"\xff\xe2\x00\x0c" + b"\xff\xda" * 5  # in a segment before the pixels
    assert scans_of(body[:2] + looks_like + body[2:]) == 10
    assert scans_of(body + body) == 10  # a second picture behind the first
    assert scans_of(with_scans(body, 30)) == 40


def test_a_scan_behind_a_segment_that_holds_an_end_is_counted() -> None:
    """Else a comment would hide hours of work."""
    body = saved((64, 64), "JPEG", progressive=True)
    start = body.rindex(b"\xff\xda")
    comment = b"\xff\xfe\x00\x06\xff\xd9\xff\xd9"
    hidden = body[:start] + comment + body[start:-2] * 1 + body[start:-2] * 20 + body[-2:]
    assert scans_of(hidden) == 30


def test_one_scan_of_all_colours_is_the_last_that_a_decoder_reads() -> None:
    body = with_scans(saved((800, 800), "JPEG"), 500)
    assert scans_of(body) == 1
    check_cost(read_header(body), len(body))
    picture = Image.open(io.BytesIO(body))
    started_s = time.process_time()
    with pytest.raises(OSError, match="broken data stream"):  # the second is no part of a JPEG
        picture.load()
    assert time.process_time() - started_s < 1.0  # 500 of them would take many seconds


def test_scans_of_one_colour_each_are_counted_and_their_coefficients_weighed() -> None:
    """A JPEG may have them without being progressive; Pillow does not write such."""
    whole = saved((1_500, 1_500), "JPEG")
    scan = whole.rindex(b"\xff\xda")
    (size,) = struct.unpack_from(">H", whole, scan + 2)
    single = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + whole[scan + 2 + size : -2]
    header = read_header(whole[:scan] + single * 3 + whole[-2:])
    assert (header.scans, header.whole_scans, header.progressive) == (3, False, False)
    assert picture_memory_bytes(header) == 1_500 * 1_500 * 2 * 3


def test_markers_without_end_are_refused_in_little_time() -> None:
    body = saved((64, 64), "JPEG", progressive=True)[:-2] + b"\xff\x01" * 500_000
    started_s = time.process_time()
    assert "segments" in refusal_of(body)
    assert time.process_time() - started_s < 0.1


def test_text_of_a_png_does_not_reach_the_decoder() -> None:
    plain = saved((8, 8), "PNG")
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**20)))
    clean = png_without_extras(plain[:33] + bomb * 60 + plain[33:])
    assert clean == plain


starts = st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", saved((9, 7), "PNG")[:40],
                          saved((9, 7), "JPEG")[:180], saved((9, 7), "JPEG")])  # fmt: skip


@given(starts, st.binary(max_size=300))
def test_whatever_the_bytes_they_are_read_or_refused(start: bytes, rest: bytes) -> None:
    with suppress(ImageError):
        check_cost(read_header(start + rest), len(start + rest))


@given(st.integers(0, 400), st.integers(1, 255))
def test_a_header_that_is_read_says_what_pillow_says(place: int, change: int) -> None:
    """Or nothing at all: no body has another size for the decoder than for the check."""
    body = bytearray(saved((40, 30), "JPEG"))
    body[place % len(body)] ^= change
    with suppress(ImageError):
        header = read_header(bytes(body))
        with suppress(OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            picture = Image.open(io.BytesIO(body))
            if picture.format == "JPEG":
                assert picture.size == (header.width, header.height)
