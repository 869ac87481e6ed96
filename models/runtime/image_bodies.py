"""Bodies of requests to pictures of the models' size; what is none is refused with reasons.

Data sets on disk are read by the same code, so a picture is the same in training, scoring and
serving; docs/protocol.md says what each kind of picture becomes. Pillow decodes: torchvision's
decoders are deprecated since 0.29, and its PNG decoder ends the process on a wrong checksum.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from models.runtime.picture_header import (
    WANTED,
    ImageError,
    PictureHeader,
    check_cost,
    png_without_extras,
    read_header,
)
from models.runtime.preprocessing import fit
from models.runtime.resample import nearest
from models.zoo.cards import Preprocessing

__all__ = ["FORMATS", "decode_image"]

FORMATS = ("PNG", "JPEG")
GAP = 2
"""a picture is first averaged over whole pixels down to this many times the size wanted, which is
cheap, and only then stretched by the card's interpolation"""
STRIP_PIXELS = 2**16
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF's orientation -> what makes the picture upright"""


def decode_image(body: bytes, preprocessing: Preprocessing) -> np.ndarray:
    """(h, w, 3) uint8 RGB of an encoded picture, upright, stretched to the card's size by `fit`.

    What it may cost is judged from the header, before any pixel is decoded. What is transparent
    lies over white, of 16 bits the upper 8 count, of several frames the first. Raises `ImageError`.
    """
    header = read_header(body)
    check_cost(header, len(body))
    try:
        picture = _shrunk(_open(body, header, preprocessing), header, preprocessing)
        image = np.array(_upright(picture, header.orientation))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(f"{WANTED}, the {header.format} is damaged: {error}") from None
    size = (preprocessing.height, preprocessing.width)
    nearest_pixels = preprocessing.interpolation == "nearest"
    fitted_bhw3 = nearest(image[None], size) if nearest_pixels else fit(image[None], preprocessing)
    fitted_hw3: np.ndarray = fitted_bhw3[0]
    return fitted_hw3


def _open(body: bytes, header: PictureHeader, preprocessing: Preprocessing) -> Image.Image:
    """The picture as it is stored; a JPEG at a half, a quarter or an eighth if that is enough."""
    clean = png_without_extras(body) if header.format == "PNG" else body
    picture: Image.Image = Image.open(io.BytesIO(clean), formats=FORMATS)
    if picture.size != (header.width, header.height):
        raise ValueError(f"it is {picture.size[0]}x{picture.size[1]} at second sight")
    if preprocessing.interpolation != "nearest":
        width, height = _wanted(header, preprocessing)
        picture.draft(None, (GAP * width, GAP * height))
    picture.load()
    return picture


def _wanted(header: PictureHeader, preprocessing: Preprocessing) -> tuple[int, int]:
    """(width, height) that the stored picture is to have, which may lie on its side."""
    width, height = preprocessing.width, preprocessing.height
    return (height, width) if header.orientation > 4 else (width, height)


def _shrunk(
    picture: Image.Image, header: PictureHeader, preprocessing: Preprocessing
) -> Image.Image:
    """RGB over white, averaged over whole pixels to at least `GAP` times the size wanted.

    Strip by strip: no call holds the interpreter, and with it the event loop, for long, and no
    second picture of the whole size is made.
    """
    across = down = 1
    if preprocessing.interpolation != "nearest":
        width, height = _wanted(header, preprocessing)
        across = max(1, picture.width // (GAP * width))
        down = max(1, picture.height // (GAP * height))
    shrunk = Image.new("RGB", (-(-picture.width // across), -(-picture.height // down)))
    rows = max(1, STRIP_PIXELS // (picture.width * down)) * down
    for top in range(0, picture.height, rows):
        box = (0, top, picture.width, min(top + rows, picture.height))
        strip = _over_white(picture.crop(box))
        if (across, down) != (1, 1):
            strip = strip.reduce((across, down))
        shrunk.paste(strip, (0, top // down))
    return shrunk


def _over_white(picture: Image.Image) -> Image.Image:
    """RGB; colours that a transparent pixel hides do not reach the model."""
    if picture.mode.startswith("I"):
        levels = np.asarray(picture).astype(np.uint32)
        # As Pillow makes 8-bit colours of 16-bit ones.
        picture = Image.fromarray((levels >> 8).clip(0, 255).astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        clear = picture.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        return Image.alpha_composite(white, clear).convert("RGB")
    return picture.convert("RGB")


def _upright(picture: Image.Image, orientation: int) -> Image.Image:
    return picture.transpose(TURNS[orientation]) if orientation in TURNS else picture
