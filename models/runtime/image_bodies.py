"""Bodies of requests to pictures of the models' size; what is none is refused with reasons.

Data sets on disk are read by the same code, so a picture is the same in training, scoring and
serving; docs/protocol.md says what each kind of picture becomes. Pillow decodes: torchvision's
decoders are deprecated since 0.29, and its PNG decoder ends the process on a wrong checksum.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.runtime.fitting import fit
from models.runtime.picture_header import (
    WANTED,
    ForCard,
    ImageError,
    PictureHeader,
    check_cost,
    png_without_extras,
    read_header,
)
from models.runtime.png_pixels import has_all_pixels
from models.runtime.resample import nearest_places
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
ROWS_TURNED, COLUMNS_TURNED = {3, 4, 6, 7}, {2, 3, 7, 8}
"""orientations whose stored rows, or columns, run against those of the upright picture"""


def decode_image(
    body: bytes, preprocessing: Preprocessing, header: PictureHeader | None = None
) -> np.ndarray:
    """(h, w, 3) uint8 RGB of an encoded picture, upright, stretched to the card's size by `fit`.

    What it may cost is judged from the header (`read_header` of the body, where the caller has it),
    before any pixel is decoded. What is transparent lies over white, of 16 bits the upper 8 count,
    of several frames the first. Raises `ImageError`.
    """
    header = header or read_header(body)
    check_cost(header, len(body), _kept(header, preprocessing))
    try:
        picture = _open(body, header, preprocessing)
        if preprocessing.interpolation == "nearest":
            picture = _picked(picture, header, preprocessing)
        else:
            picture = _shrunk(picture, header, preprocessing)
        image = np.array(_upright(picture, header.orientation))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(f"{WANTED}, the {header.format} is damaged: {error}") from None
    fitted_hw3: np.ndarray = fit(image[None], preprocessing)[0]
    return fitted_hw3


def _kept(header: PictureHeader, preprocessing: Preprocessing) -> ForCard:
    """What `_open` decodes, and `_shrunk` leaves of that."""
    width, height = _wanted(header, preprocessing)
    if preprocessing.interpolation == "nearest":
        return ForCard(header.pixels, 0, width * height)
    columns, rows = header.width, header.height
    if header.format == "JPEG":
        enough = min(columns // (GAP * width), rows // (GAP * height))
        by = next((by for by in (8, 4, 2) if by <= enough), 1)
        columns, rows = -(-columns // by), -(-rows // by)
    across, down = max(1, columns // (GAP * width)), max(1, rows // (GAP * height))
    return ForCard(columns * rows, -(-columns // across) * -(-rows // down), width * height)


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
    if header.format == "PNG" and not has_all_pixels(clean, header, picture):
        raise ValueError("image file is truncated")  # the words of a JPEG that is
    return picture


def _wanted(header: PictureHeader, preprocessing: Preprocessing) -> tuple[int, int]:
    """(width, height) that the stored picture is to have, which may lie on its side."""
    width, height = preprocessing.width, preprocessing.height
    return (height, width) if header.orientation > 4 else (width, height)


def _shrunk(
    picture: Image.Image, header: PictureHeader, preprocessing: Preprocessing
) -> Image.Image:
    """RGB over white, averaged over whole pixels to at least `GAP` times the size wanted."""
    width, height = _wanted(header, preprocessing)
    across = max(1, picture.width // (GAP * width))
    down = max(1, picture.height // (GAP * height))
    shrunk = Image.new("RGB", (-(-picture.width // across), -(-picture.height // down)))
    for top, strip in _strips(picture, down):
        if (across, down) != (1, 1):
            strip = strip.reduce((across, down))
        shrunk.paste(strip, (0, top // down))
    return shrunk


def _picked(
    picture: Image.Image, header: PictureHeader, preprocessing: Preprocessing
) -> Image.Image:
    """RGB over white of the pixels that are `nearest` in the upright picture."""
    width, height = _wanted(header, preprocessing)
    rows = _places(picture.height, height, header.orientation in ROWS_TURNED)
    columns = _places(picture.width, width, header.orientation in COLUMNS_TURNED)
    picked = np.empty((height, width, 3), np.uint8)
    for top, strip in _strips(picture, 1):
        first, end = np.searchsorted(rows, (top, top + strip.height))
        if first < end:
            picked[first:end] = np.asarray(strip)[rows[first:end] - top][:, columns]
    return Image.fromarray(picked)


def _places(old: int, new: int, turned: bool) -> NDArray[np.intp]:
    places = nearest_places(old, new)
    return old - 1 - places[::-1] if turned else places


def _strips(picture: Image.Image, rows_together: int) -> Iterator[tuple[int, Image.Image]]:
    """RGB over white, as strips of a multiple of `rows_together` rows, with the first row of each.

    So no call holds the interpreter, and with it the event loop, for long, and no second picture of
    the whole size is made.
    """
    rows = max(1, STRIP_PIXELS // (picture.width * rows_together)) * rows_together
    for top in range(0, picture.height, rows):
        box = (0, top, picture.width, min(top + rows, picture.height))
        yield top, _over_white(picture.crop(box))


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
