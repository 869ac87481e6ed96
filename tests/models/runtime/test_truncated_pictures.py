"""A picture that ends early is refused, whatever its kind: no part of it is made up."""

from __future__ import annotations

import io
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models.runtime.image_bodies import decode_image
from models.runtime.picture_header import ImageError
from models.zoo.cards import Preprocessing
from support.png_by_hand import png_by_hand

Mode = Literal["nearest", "bilinear", "bicubic"]
MODES: tuple[Mode, ...] = ("nearest", "bilinear", "bicubic")
CARDS = {
    mode: Preprocessing(height=12, width=16, mean=(0.5,) * 3, std=(0.5,) * 3, interpolation=mode)
    for mode in MODES
}
RNG = np.random.default_rng(5)


def noise(height: int, width: int, channels: int = 3, kind: type = np.uint8) -> np.ndarray:
    return RNG.integers(1, np.iinfo(kind).max, (height, width, channels), kind)


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


SMALL = Image.fromarray(noise(24, 32))
LARGE = Image.fromarray(noise(200, 260)).resize((520, 400))
SECOND = Image.fromarray(noise(24, 32))
BODIES = {
    "PNG": saved(SMALL, "PNG"),
    "PNG, large": saved(LARGE, "PNG"),
    "PNG with alpha": saved(Image.fromarray(noise(24, 32, 4)), "PNG"),
    "PNG of a palette": saved(SMALL.quantize(16), "PNG"),
    "PNG, grey": saved(SMALL.convert("L"), "PNG"),
    "PNG, black and white": saved(SMALL.convert("1"), "PNG"),
    "PNG, grey of 16 bits": png_by_hand(noise(24, 32, 1, np.uint16)),
    "PNG of 16 bits": png_by_hand(noise(24, 32, 3, np.uint16)),
    "PNG, interlaced": png_by_hand(noise(24, 32), interlaced=True),
    "PNG in pieces": png_by_hand(noise(24, 32), pieces=7),
    "PNG, animated": saved(SMALL, "PNG", save_all=True, append_images=[SECOND]),
    "JPEG": saved(SMALL, "JPEG"),
    "JPEG, large": saved(LARGE, "JPEG"),
    "JPEG, progressive": saved(SMALL, "JPEG", progressive=True),
    "JPEG, large and progressive": saved(LARGE, "JPEG", progressive=True),
    "JPEG, grey": saved(SMALL.convert("L"), "JPEG"),
    "JPEG, CMYK": saved(SMALL.convert("CMYK"), "JPEG"),
    "JPEG with restarts": saved(LARGE, "JPEG", restart_marker_blocks=8),
    "JPEG of two frames": saved(SMALL, "MPO", save_all=True, append_images=[SECOND]),
}


def check(kind: str, end: int, mode: Mode) -> None:
    """The first `end` bytes are refused, or are the whole picture."""
    body = BODIES[kind]
    try:
        decoded = decode_image(body[:end], CARDS[mode])
    except ImageError:
        return
    assert np.array_equal(decoded, decode_image(body, CARDS[mode])), (kind, end)


@pytest.mark.parametrize("kind", BODIES)
def test_the_whole_picture_is_read_and_half_of_it_refused(kind: str) -> None:
    body = BODIES[kind]
    for mode in MODES:
        assert decode_image(body, CARDS[mode]).shape == (12, 16, 3)
        # Of two frames the second half is the one that is not wanted.
        with pytest.raises(ImageError):
            decode_image(body[: len(body) // (4 if "two frames" in kind else 2)], CARDS[mode])


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(BODIES)), st.floats(0, 1), st.sampled_from(MODES))
def test_whatever_is_cut_off_the_rest_is_refused_or_the_whole(
    kind: str, part: float, mode: Mode
) -> None:
    check(kind, int(part * len(BODIES[kind])), mode)


@pytest.mark.parametrize("kind", BODIES)
def test_without_its_last_bytes_it_is_refused_or_the_whole(kind: str) -> None:
    for missing in range(1, 40):
        check(kind, len(BODIES[kind]) - missing, "bilinear")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.99])
def test_a_png_whose_stream_ends_early_is_refused(
    channels: int, kind: type, interlaced: bool, part: float
) -> None:
    """Decoders leave the rows that are missing black, without a word."""
    image = noise(23, 31, channels, kind)
    raw_bytes = image.nbytes
    body = png_by_hand(image, interlaced=interlaced, missing_bytes=int((1 - part) * raw_bytes) + 1)
    for mode in MODES:
        with pytest.raises(ImageError, match="the PNG is damaged: image file is truncated"):
            decode_image(body, CARDS[mode])


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (5, 5), (23, 31)])
def test_a_black_last_row_is_told_from_one_that_is_missing(
    interlaced: bool, channels: int, missing: int, size: tuple[int, int]
) -> None:
    image = noise(*size, channels)
    image[-1] = 0
    body = png_by_hand(image, interlaced=interlaced, missing_bytes=missing)
    card = CARDS["nearest"]
    if missing:
        with pytest.raises(ImageError, match="truncated"):
            decode_image(body, card)
    else:
        assert decode_image(body, card).shape == (12, 16, 3)


def test_a_palette_of_few_bits_with_a_black_last_row_is_whole() -> None:
    """Where rows are not of whole bytes; Pillow writes them."""
    for colours in (2, 4, 16):
        indices = RNG.integers(0, colours, (9, 13), np.uint8)
        indices[-1] = 0
        picture = Image.fromarray(indices, "P")
        picture.putpalette([value for index in range(colours) for value in (index, 9, 9)])
        bits = {2: 1, 4: 2, 16: 4}[colours]
        assert decode_image(saved(picture, "PNG", bits=bits), CARDS["bilinear"]).any()
