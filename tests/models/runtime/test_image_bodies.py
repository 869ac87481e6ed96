"""Decoding of request bodies: pixels as stored, other sizes fitted, the rest refused."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from models.runtime.fitting import fit
from models.runtime.image_bodies import decode_image
from models.runtime.picture_header import MAX_PIXELS, ImageError
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
        (_encode(np.zeros((24, 32, 3), np.uint8), "GIF"), "something else"),
        (_encode(NOISE, "PNG")[:900], "the PNG is damaged"),
        (_encode(NOISE, "JPEG")[:900], "the JPEG is damaged: image file is truncated"),
    ],
)
def test_other_bodies_are_refused_saying_what_was_expected(body: bytes, reason: str) -> None:
    with pytest.raises(
        ImageError, match=f"expected a PNG or JPEG of at most {MAX_PIXELS} "
    ) as caught:
        decode_image(body, PREPROCESSING)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_png_with_a_wrong_checksum_does_not_end_the_process() -> None:
    body = bytearray(_encode(NOISE, "PNG"))
    for place in range(60, len(body), 97):
        body[place] ^= 0xFF
        with pytest.raises(ImageError, match=r"damaged|header"):
            decode_image(bytes(body), PREPROCESSING)


def test_a_huge_picture_is_refused_by_its_header() -> None:
    stream = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(stream, "PNG")
    with pytest.raises(ImageError, match="expected a PNG or JPEG of at most"):
        decode_image(stream.getvalue(), PREPROCESSING)
    stream = io.BytesIO()
    Image.new("1", (MAX_PIXELS // 8 + 1, 8)).save(stream, "PNG")
    with pytest.raises(ImageError, match=f"got a PNG of {MAX_PIXELS // 8 + 1}x8"):
        decode_image(stream.getvalue(), PREPROCESSING)


@pytest.mark.parametrize(
    ("interpolation", "by_pillow"),
    [
        ("nearest", Image.Resampling.NEAREST),
        ("bilinear", Image.Resampling.BILINEAR),
        ("bicubic", Image.Resampling.BICUBIC),
    ],
)
@pytest.mark.parametrize("size", [(48, 64), (61, 47), (13, 90)])
def test_another_size_is_fitted_by_the_cards_interpolation(
    interpolation: Literal["nearest", "bilinear", "bicubic"],
    by_pillow: Image.Resampling,
    size: tuple[int, int],
) -> None:
    card = PREPROCESSING.model_copy(update={"interpolation": interpolation})
    picture = np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8)
    decoded = decode_image(_encode(picture, "PNG"), card)
    # Pillow's resampling, antialiased too, also rounds between its two directions.
    wanted = np.array(Image.fromarray(picture).resize((32, 24), by_pillow))
    apart = np.abs(decoded.astype(int) - wanted.astype(int))
    assert apart.max() <= {"nearest": 0, "bilinear": 1, "bicubic": 4}[interpolation]
    assert np.array_equal(decoded, fit(picture[None], card)[0])


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_one_colour_after_another_is_fitted_as_all_at_once(
    interpolation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = PREPROCESSING.model_copy(update={"interpolation": interpolation})
    picture = np.random.default_rng(1).integers(0, 256, (2, 97, 130, 3)).astype(np.uint8)
    together = fit(picture, card)
    monkeypatch.setattr("models.runtime.fitting.LARGE_PIXELS", 0)
    assert np.array_equal(fit(picture, card), together)


def test_a_picture_of_the_models_size_is_not_touched(picture: np.ndarray) -> None:
    for interpolation in ("nearest", "bilinear", "bicubic"):
        card = PREPROCESSING.model_copy(update={"interpolation": interpolation})
        assert fit(picture[None], card)[0] is not None
        assert np.array_equal(fit(picture[None], card)[0], picture)
