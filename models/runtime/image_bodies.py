"""Bodies of requests to pictures of the models' size; what is none is refused with reasons.

Data sets on disk are read by the same code, so a picture is the same in training and serving.
Pillow decodes: torchvision's decoders are deprecated since 0.29, and its PNG decoder ends the
process on a file with a wrong checksum.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from models.runtime.preprocessing import fit
from models.zoo.cards import Preprocessing

__all__ = ["FORMATS", "MAX_PIXELS", "ImageError", "decode_image"]

FORMATS = ("PNG", "JPEG")
MAX_PIXELS = 2**23
"""of a picture that is decoded: 3840 x 2160 and a little more"""


class ImageError(ValueError):
    """A body is not a picture the model takes; the message says what was expected."""


def decode_image(body: bytes, preprocessing: Preprocessing) -> np.ndarray:
    """(h, w, 3) uint8 RGB of an encoded picture, stretched to the card's size by `fit`.

    Size and format are read from the header before any pixel is decoded, so a small body cannot
    ask for a large picture. Turning by EXIF is not applied. Raises `ImageError`.
    """
    wanted = f"expected a PNG or JPEG of at most {MAX_PIXELS} pixels"
    if not body:
        raise ImageError(f"{wanted}, got an empty body")
    try:
        picture = Image.open(io.BytesIO(body), formats=FORMATS)
    except UnidentifiedImageError:
        raise ImageError(f"{wanted}, got {len(body)} bytes of something else") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(f"{wanted}, the header is unreadable: {error}") from None
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"{wanted}, got a {picture.format} of {width}x{height}")
    if picture.mode.startswith(("I", "F")):
        raise ImageError(f"{wanted} with 8 bits a colour, got more in a {picture.format}")
    try:
        image = np.array(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageError(f"{wanted}, the {picture.format} is damaged: {error}") from None
    fitted: np.ndarray = fit(image[None], preprocessing)[0]
    return fitted
