"""Which way up a picture is, however its EXIF says so: as Pillow reads it."""

from __future__ import annotations

import io
import struct
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from models.runtime.exif import read_orientation
from models.runtime.image_bodies import decode_image
from models.runtime.picture_header import read_header
from models.runtime.resample import nearest
from models.zoo.cards import Preprocessing
from support.png_by_hand import png_chunk

SHORT, LONG, SIGNED_SHORT, SIGNED_LONG, BYTE, ASCII = 3, 4, 8, 9, 1, 2
FORMS = {SHORT: "H", LONG: "I", SIGNED_SHORT: "h", SIGNED_LONG: "i", BYTE: "B", ASCII: "B"}
PREFIX = b"Exif\0\0"
Order = Literal["<", ">"]


def exif(
    value: int = 6, order: Order = ">", kind: int = SHORT, count: int = 1, before: int = 0
) -> bytes:
    """EXIF data with an orientation behind `before` other entries."""
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    other = struct.pack(f"{order}HHIHH", 0x0100, SHORT, 1, 99, 0)
    data = struct.pack(order + FORMS[kind], value).ljust(4, b"\0")
    own = struct.pack(f"{order}HHI", 0x0112, kind, count) + data
    entries = other * before + own
    return mark + struct.pack(f"{order}IH", 8, before + 1) + entries + bytes(4)


def jpeg(*segments: bytes, side: int = 16) -> bytes:
    """A JPEG with these segments of APP1."""
    stream = io.BytesIO()
    Image.fromarray(PICTURE[:side, :side]).save(stream, "JPEG", quality=95)
    body = stream.getvalue()
    marked = b"".join(b"\xff\xe1" + struct.pack(">H", len(s) + 2) + s for s in segments)
    return body[:2] + marked + body[2:]


def png(*chunks: bytes) -> bytes:
    """A PNG with these chunks of EXIF."""
    stream = io.BytesIO()
    Image.fromarray(PICTURE).save(stream, "PNG")
    body = stream.getvalue()
    return body[:33] + b"".join(png_chunk(b"eXIf", data) for data in chunks) + body[33:]


PICTURE = np.random.default_rng(2).integers(0, 256, (16, 24, 3), np.uint8)
ORDERS: tuple[Order, ...] = ("<", ">")
BODIES = {
    **{f"JPEG, {order}, type {kind}": jpeg(PREFIX + exif(6, order, kind))
       for order in ORDERS for kind in (SHORT, LONG, SIGNED_SHORT, SIGNED_LONG, ASCII)},
    **{f"PNG, {order}, type {kind}": png(exif(8, order, kind))
       for order in ORDERS for kind in (SHORT, LONG)},
    "JPEG, behind twenty entries": jpeg(PREFIX + exif(3, before=20)),
    "JPEG, a value that is none": jpeg(PREFIX + exif(9)),
    "JPEG, nought": jpeg(PREFIX + exif(0)),
    "JPEG, cut off": jpeg(PREFIX + exif(6)[:17]),
    "JPEG, neither order": jpeg(PREFIX + b"XX" + exif(6)[2:]),
    "JPEG, nothing": jpeg(PREFIX),
    "JPEG, no EXIF": jpeg(b"http://ns.adobe.com/xap/1.0/\0<x/>"),
    "JPEG, a second segment": jpeg(PREFIX + exif(6), PREFIX + exif(3)),
    "JPEG, a second segment that alone says it": jpeg(PREFIX + exif(1), PREFIX + exif(3)),
    "JPEG, an empty segment before it": jpeg(PREFIX, PREFIX + exif(3)),
    "JPEG, in two parts": jpeg(PREFIX + exif(7, before=9)[:50], PREFIX + exif(7, before=9)[50:]),
    "JPEG, the prefix twice": jpeg(PREFIX + PREFIX + exif(6)),
    "PNG with the prefix of a JPEG": png(PREFIX + exif(5)),
    "PNG without": png(),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("name", BODIES)
def test_the_orientation_is_the_one_that_pillow_reads(name: str) -> None:
    body = BODIES[name]
    stored = Image.open(io.BytesIO(body))
    upright = ImageOps.exif_transpose(stored)
    width, height = upright.size
    card = Preprocessing(height=height, width=width, mean=(0.5,) * 3, std=(0.5,) * 3)
    assert np.array_equal(decode_image(body, card), np.asarray(upright)), read_header(body)


def test_an_orientation_of_two_values_is_none() -> None:
    """As in browsers; Pillow takes the first, with a warning."""
    assert read_header(jpeg(PREFIX + exif(6, count=2))).orientation == 1


def test_of_two_chunks_of_a_png_the_first_counts() -> None:
    """As in browsers; the standard allows one, and Pillow takes the last."""
    assert read_header(png(exif(6), exif(3))).orientation == 6


@given(st.binary(max_size=80), st.integers(0, 60), st.sampled_from(ORDERS))
def test_whatever_the_bytes_an_orientation_is_read_or_none(
    junk: bytes, place: int, order: Order
) -> None:
    whole = exif(6, order, before=1)
    for data in (junk, whole[:place], whole[:place] + junk, whole[:place] + junk + whole[place:]):
        assert 1 <= read_orientation(data) <= 8


def test_a_long_run_of_prefixes_costs_little() -> None:
    assert read_orientation(PREFIX * 1_000_000 + exif(6)) == 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(5, 7), (6, 9), (12, 16), (3, 3)])
def test_the_nearest_pixel_is_that_of_the_upright_picture(
    orientation: int, size: tuple[int, int]
) -> None:
    """It is picked from the stored one, whose rows may run the other way."""
    body = png(exif(orientation))
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(body))))
    card = Preprocessing(
        height=size[0], width=size[1], mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="nearest"
    )
    assert np.array_equal(decode_image(body, card), nearest(upright[None], size)[0])
