"""PNGs that Pillow does not write: interlaced, of 16 bits a colour, or with too few rows."""

from __future__ import annotations

import struct
import zlib

import numpy as np

__all__ = ["png_by_hand", "png_chunk"]

COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}
"""channels -> the PNG's number for them: grey, with alpha, colour, with alpha"""
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2))  # fmt: skip


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk, whole and with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_by_hand(
    image_hwc: np.ndarray, *, interlaced: bool = False, missing_bytes: int = 0, pieces: int = 1
) -> bytes:
    """The PNG of a uint8 or uint16 array, its pixels in so many `pieces`. The last `missing_bytes`
    of the pixels are left out before they are packed, so the stream ends early and in good order.
    """
    height, width, channels = image_hwc.shape
    wire = image_hwc.astype(image_hwc.dtype.newbyteorder(">"))
    grids = [wire[y::dy, x::dx] for x, y, dx, dy in PASSES] if interlaced else [wire]
    raw = b"".join(b"\0" + row.tobytes() for grid in grids if grid.size for row in grid)
    packed = zlib.compress(raw[: len(raw) - missing_bytes])
    size = -(-len(packed) // pieces)
    bits = 8 * image_hwc.dtype.itemsize
    header = struct.pack(">IIBBBBB", width, height, bits, COLOURS[channels], 0, 0, interlaced)
    return b"".join((
        b"\x89PNG\r\n\x1a\n",
        png_chunk(b"IHDR", header),
        *(png_chunk(b"IDAT", packed[at : at + size]) for at in range(0, len(packed), size)),
        png_chunk(b"IEND", b""),
    ))  # fmt: skip
