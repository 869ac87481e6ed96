"""Bodies of requests to pictures: decode, and refuse what the model cannot take (no torch)."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from models.zoo.cards import Preprocessing

__all__ = ["FORMATS", "ImageError", "decode_image"]

FORMATS = ("PNG", "JPEG")


class ImageError(ValueError):
    """A body is not a picture the model takes; the message says what was expected."""


def decode_image(body: bytes, preprocessing: Preprocessing) -> np.ndarray:
    """(h, w, 3) uint8 RGB of an encoded picture of exactly the model's input size.

    Size and format are read from the header before any pixel is decoded, so a small body cannot
    ask for a large picture. Raises `ImageError`.
    """
    wanted = f"expected a PNG or JPEG of {preprocessing.width}x{preprocessing.height} pixels"
    if not body:
        raise ImageError(f"{wanted}, got an empty body")
    try:
        picture = Image.open(io.BytesIO(body), formats=FORMATS)
    except UnidentifiedImageError:
        raise ImageError(f"{wanted}, got {len(body)} bytes of something else") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(f"{wanted}, the header is unreadable: {error}") from None
    if picture.size != (preprocessing.width, preprocessing.height):
        raise ImageError(
            f"{wanted}, got a {picture.format} of {picture.width}x{picture.height} pixels"
        )
    try:
        return np.array(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageError(f"{wanted}, the {picture.format} is damaged: {error}") from None
