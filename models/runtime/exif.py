"""The orientation that a camera noted in a picture's EXIF data."""

from __future__ import annotations

import struct

__all__ = ["EXIF", "read_orientation"]

EXIF = b"Exif\0\0"
"""before the data in a JPEG; some programs write it in a PNG's chunk, too"""
ORIENTATION = 0x0112
MOST_ENTRIES = 4_096
"""of a directory that is looked through; cameras write some twenty"""
VALUES = {3: "H", 4: "I", 8: "h", 9: "i"}
"""EXIF's types of whole numbers; the standard has SHORT (3) for it, some programs write LONG (4)"""


def read_orientation(exif: bytes) -> int:
    """1 (upright) to 8, as EXIF data says; 1 where it says nothing that can be read."""
    try:
        found = _find(exif)
    except struct.error:  # it is cut off
        return 1
    return found if 1 <= found <= 8 else 1


def _find(exif: bytes) -> int:
    start = 0
    while exif.startswith(EXIF, start):
        start += len(EXIF)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[start : start + 4])
    if order is None:
        return 1
    (directory,) = struct.unpack_from(f"{order}I", exif, start + 4)
    place = start + directory
    (count,) = struct.unpack_from(f"{order}H", exif, place)
    for entry in range(min(count, MOST_ENTRIES)):
        tag, kind, values = struct.unpack_from(f"{order}HHI", exif, place + 2 + 12 * entry)
        if tag == ORIENTATION and values == 1 and kind in VALUES:
            (found,) = struct.unpack_from(order + VALUES[kind], exif, place + 10 + 12 * entry)
            return int(found)
    return 1
