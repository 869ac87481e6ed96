"""What each kind of picture becomes: upright, over white, 8 bits a colour, its first frame."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from models.runtime.image_bodies import decode_image
from models.runtime.picture_header import ImageError
from models.zoo.cards import Preprocessing

CARD = Preprocessing(height=24, width=32, mean=(0.5,) * 3, std=(0.5,) * 3)
UPRIGHT = np.zeros((24, 32, 3), np.uint8)
UPRIGHT[:12, :16] = (200, 40, 40)
UPRIGHT[:12, 16:] = (40, 200, 40)
UPRIGHT[12:, :16] = (40, 40, 200)
UPRIGHT[12:, 16:] = (200, 200, 40)


def saved(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def apart(body: bytes, wanted: np.ndarray) -> int:
    """The largest difference, away from edges, which a JPEG blurs."""
    decoded = decode_image(body, CARD)
    assert decoded.shape == (24, 32, 3)
    assert decoded.dtype == np.uint8
    inner = [slice(2, 10), slice(14, 22)], [slice(2, 14), slice(18, 30)]
    return max(
        int(np.abs(decoded[r, c].astype(int) - wanted[r, c].astype(int)).max())
        for r in inner[0]
        for c in inner[1]
    )


# What a camera stores for each orientation: the transposition that undoes the turning.
STORED = {
    1: lambda p: p,
    2: lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda p: p.transpose(Image.Transpose.ROTATE_180),
    4: lambda p: p.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda p: p.transpose(Image.Transpose.TRANSPOSE),
    6: lambda p: p.transpose(Image.Transpose.ROTATE_90),
    7: lambda p: p.transpose(Image.Transpose.TRANSVERSE),
    8: lambda p: p.transpose(Image.Transpose.ROTATE_270),
}


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("scale", [1, 6])
def test_a_turned_picture_is_made_upright(kind: str, orientation: int, scale: int) -> None:
    upright = Image.fromarray(UPRIGHT).resize((32 * scale, 24 * scale), Image.Resampling.NEAREST)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    body = saved(STORED[orientation](upright), kind, exif=exif.tobytes(), **options)
    assert apart(body, UPRIGHT) <= (6 if kind == "JPEG" else 0)


def test_an_orientation_that_is_none_is_left_alone() -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    assert apart(saved(Image.fromarray(UPRIGHT), exif=exif.tobytes()), UPRIGHT) == 0


def test_hidden_colours_do_not_reach_the_model() -> None:
    alpha = np.full((24, 32, 1), 255, np.uint8)
    alpha[:12] = 0
    clear = Image.fromarray(np.concatenate([UPRIGHT, alpha], axis=2))
    wanted = UPRIGHT.copy()
    wanted[:12] = 255
    assert apart(saved(clear), wanted) == 0
    assert apart(saved(clear.resize((256, 192), Image.Resampling.NEAREST)), wanted) == 0


def test_half_transparent_pixels_lie_over_white() -> None:
    half = np.concatenate([UPRIGHT, np.full((24, 32, 1), 128, np.uint8)], axis=2)
    wanted = (UPRIGHT.astype(int) * 128 + 255 * 127) // 255
    assert apart(saved(Image.fromarray(half)), wanted.astype(np.uint8)) <= 1


def test_a_transparent_colour_of_a_palette_or_of_rgb_becomes_white() -> None:
    palette = Image.fromarray(UPRIGHT).quantize(4)
    corner = palette.getpixel((0, 0))
    wanted = UPRIGHT.copy()
    wanted[:12, :16] = 255
    assert apart(saved(palette, transparency=corner), wanted) == 0
    rgb = Image.fromarray(UPRIGHT)
    assert apart(saved(rgb, transparency=(200, 40, 40)), wanted) == 0


@pytest.mark.parametrize("scale", [1, 6])
def test_a_palette_has_colours_and_no_means_of_indices(scale: int) -> None:
    palette = Image.fromarray(UPRIGHT).quantize(4)
    body = saved(palette.resize((32 * scale, 24 * scale), Image.Resampling.NEAREST))
    assert apart(body, UPRIGHT) == 0


def test_grey_with_alpha_and_black_and_white_become_rgb() -> None:
    grey = np.repeat(UPRIGHT[..., :1], 3, axis=2)
    with_alpha = np.stack([grey[..., 0], np.full((24, 32), 255, np.uint8)], axis=2)
    assert apart(saved(Image.fromarray(with_alpha, "LA")), grey) == 0
    bits = Image.fromarray(grey[..., 0] > 100)
    assert apart(saved(bits), np.where(grey > 100, 255, 0).astype(np.uint8)) == 0


@pytest.mark.parametrize("scale", [1, 6])
def test_sixteen_bits_are_scaled_to_eight(scale: int) -> None:
    grey = UPRIGHT[..., 0].astype(np.uint16).repeat(scale, 0).repeat(scale, 1)
    wanted = np.repeat(UPRIGHT[..., :1], 3, axis=2)
    assert apart(saved(Image.fromarray(grey * 257)), wanted) == 0
    assert apart(png_of_16_bit_colours(UPRIGHT.repeat(scale, 0).repeat(scale, 1)), UPRIGHT) == 0


def png_of_16_bit_colours(image: np.ndarray) -> bytes:
    """Pillow does not write these."""
    height, width, _ = image.shape
    rows = (image.astype(">u2") * 257).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )


def test_cmyk_and_progressive_and_profiled_pictures_are_read() -> None:
    rgb = Image.fromarray(UPRIGHT)
    sharp: dict[str, Any] = {"quality": 100, "subsampling": 0}
    assert apart(saved(rgb.convert("CMYK"), "JPEG", **sharp), UPRIGHT) <= 8
    assert apart(saved(rgb, "JPEG", progressive=True, **sharp), UPRIGHT) <= 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert apart(saved(rgb, "JPEG", icc_profile=profile, **sharp), UPRIGHT) <= 6
    assert apart(saved(rgb, icc_profile=profile), UPRIGHT) == 0


def test_of_several_frames_the_first_counts() -> None:
    first, second = Image.fromarray(UPRIGHT), Image.new("RGB", (32, 24), "black")
    assert apart(saved(first, save_all=True, append_images=[second]), UPRIGHT) == 0
    mpo = saved(first, "MPO", save_all=True, append_images=[second], quality=100, subsampling=0)
    assert apart(mpo, UPRIGHT) <= 6


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_truncated_picture_is_refused_wherever_it_ends(kind: str) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (24, 32, 3), np.uint8)
    body = saved(Image.fromarray(noise), kind)
    for end in (*range(1, 200, 7), *range(200, len(body) - 20, 97)):
        with pytest.raises(ImageError, match="expected a PNG or JPEG"):
            decode_image(body[:end], CARD)


def test_the_nearest_pixel_is_taken_where_the_card_says_so() -> None:
    card = CARD.model_copy(update={"interpolation": "nearest"})
    large = Image.fromarray(UPRIGHT).resize((320, 240), Image.Resampling.NEAREST)
    assert np.array_equal(decode_image(saved(large), card), UPRIGHT)
