"""Decoding of request bodies: what fits comes back exactly, the rest is refused with reasons."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from models.images import ImageError, decode_image
from models.zoo.cards import Preprocessing

PREPROCESSING = Preprocessing(height=24, width=32, mean=(0.5,) * 3, std=(0.5,) * 3)
NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)


def _encode(array: np.ndarray, image_format: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, image_format)
    return stream.getvalue()


@pytest.fixture
def picture() -> np.ndarray:
    return NOISE


def test_a_png_comes_back_exactly(picture: np.ndarray) -> None:
    decoded = decode_image(_encode(picture, "PNG"), PREPROCESSING)
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, picture)


def test_grey_and_transparent_pictures_become_rgb(picture: np.ndarray) -> None:
    grey = decode_image(_encode(picture[..., 0], "PNG"), PREPROCESSING)
    assert np.array_equal(grey, np.repeat(picture[..., :1], 3, axis=2))
    clear = np.concatenate([picture, picture[..., :1]], axis=2)
    assert decode_image(_encode(clear, "PNG"), PREPROCESSING).shape == (24, 32, 3)


def test_a_jpeg_comes_back_roughly() -> None:
    flat = np.full((24, 32, 3), 90, np.uint8)
    decoded = decode_image(_encode(flat, "JPEG"), PREPROCESSING)
    assert np.abs(decoded.astype(int) - 90).max() <= 3


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty body"),
        (b"hello, this is not a picture", "something else"),
        (_encode(np.zeros((32, 24, 3), np.uint8), "PNG"), "got a PNG of 24x32 pixels"),
        (_encode(np.zeros((24, 32, 3), np.uint8), "GIF"), "something else"),
        (_encode(NOISE, "PNG")[:900], "damaged"),
    ],
)
def test_other_bodies_are_refused_saying_what_was_expected(body: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match="expected a PNG or JPEG of 32x24 pixels") as caught:
        decode_image(body, PREPROCESSING)
    assert reason in str(caught.value)


def test_a_huge_picture_is_refused_by_its_header() -> None:
    stream = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(stream, "PNG")
    with pytest.raises(ImageError, match="expected a PNG or JPEG of 32x24"):
        decode_image(stream.getvalue(), PREPROCESSING)
