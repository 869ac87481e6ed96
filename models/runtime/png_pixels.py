"""Whether a PNG has all its pixels.

Its pixels are one stream of zlib, which can end, in good order, before the last row. Decoders leave
the rows that are missing black, and say nothing.
"""

from __future__ import annotations

import zlib

import numpy as np
from PIL import Image

from models.runtime.picture_header import PictureHeader, png_chunks

__all__ = ["has_all_pixels"]

PIECE_BYTES = 2**16
INTERLACED = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # fmt: skip
"""first column and row, and steps between columns and rows, of each pass of Adam7"""


def has_all_pixels(body: bytes, header: PictureHeader, picture: Image.Image) -> bool:
    """Whether the PNG `body`, which was decoded to `picture`, has every row.

    Rows come whole, one after another: where the last pixel, or another of its row, is anything but
    0, all are there. Only where that does not tell is the stream unpacked again, to count.
    """
    if not header.interlaced:
        width, height = picture.size
        last = picture.getpixel((width - 1, height - 1))
        if any(last) if isinstance(last, tuple) else last:
            return True
        if np.asarray(picture.crop((0, height - 1, width, height))).any():
            return True
    try:
        return _unpacks_to(body, _pixel_bytes(header))
    except zlib.error:  # the decoder took what came before the damage, and left the rest black
        return False


def _pixel_bytes(header: PictureHeader) -> int:
    """Bytes of the rows of all passes, each with the byte that names its filter."""
    total = 0
    for column, row, across, down in INTERLACED if header.interlaced else ((0, 0, 1, 1),):
        width = -((column - header.width) // across)
        height = -((row - header.height) // down)
        if width > 0 and height > 0:
            total += height * (1 + (width * header.bits + 7) // 8)
    return total


def _unpacks_to(body: bytes, wanted_bytes: int) -> bool:
    """Whether the stream has so many bytes; of what it has no more than a piece is kept."""
    stream = zlib.decompressobj()
    for kind, start, end in png_chunks(body):
        rest = body[start + 8 : end - 4] if kind == b"IDAT" else b""
        while rest and wanted_bytes > 0:
            piece = stream.decompress(rest, PIECE_BYTES)
            wanted_bytes -= len(piece)
            rest = stream.unconsumed_tail
            if not piece and not rest:
                break
    while wanted_bytes > 0 and (piece := stream.decompress(stream.unconsumed_tail, PIECE_BYTES)):
        wanted_bytes -= len(piece)
    return wanted_bytes <= 0
