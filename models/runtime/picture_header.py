"""What a picture would cost to decode, from its first bytes: size, scans, memory. No torch here.

A body of a few hundred bytes can ask for megapixels, for hundreds of passes over them, or for a
row of a million. So the header is judged by this reader before a decoder sees the body: whatever
may not be decoded is refused by name, and who decodes knows whether it is a matter of microseconds.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from models.runtime.exif import EXIF, read_orientation

__all__ = [
    "MAX_PIXELS", "NO_CARD", "WANTED", "ForCard", "ImageError", "PictureHeader", "check_cost",
    "picture_memory_bytes", "png_chunks", "png_without_extras", "read_header",
]  # fmt: skip

MAX_PIXELS = 2**23
"""of a picture that is decoded: 3840 x 2160 and a little more"""
MAX_SIDE, MAX_RATIO = 2**15, 64
"""pixels of the longer side; longer side / shorter side"""
MAX_PASSES = 2**27
"""pixels times scans: each scan of a progressive JPEG goes over all pixels"""
MAX_PARTS = 2_048
"""segments of a JPEG before its pixels, or chunks of a PNG; libpng writes one for 8 KiB"""
MEMORY_PER_BYTE, MEMORY_FREE_BYTES, MEMORY_PER_CARD_PIXEL = 8, 12 * 2**20, 192
"""a picture may take this many bytes for each of its own, these beside them, and this many for each
pixel that the model takes: what is decoded has up to four times its sides"""
FITTED_BYTES = 8
"""of a pixel that is fitted: as it was shrunk, upright, and one colour in float32"""
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
IHDR = b"\x00\x00\x00\x0dIHDR"
"""length and type of a PNG's first chunk"""
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""a PNG's type of colours -> numbers of a pixel"""
SLICE_BYTES = 2**18
KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
"""chunks that decide pixels; text, colour profiles and further frames of an animation do not"""
FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
ALONE = {0x01, *range(0xD0, 0xD8)}
"""markers without a length"""
SCAN, END, APP1 = 0xDA, 0xD9, 0xE1
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""where a scan's pixels end: in them 0xFF is followed by 0 or is a restart marker"""
WANTED = f"expected a PNG or JPEG of at most {MAX_PIXELS} pixels"


class ImageError(ValueError):
    """A body is not a picture the model takes; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """What a picture's header says. `orientation` is EXIF's, 1 (upright) to 8."""

    format: str
    width: int
    height: int
    scans: int = 1
    """passes over the pixels; more than one in progressive JPEGs"""
    progressive: bool = False
    whole_scans: bool = True
    """whether each scan of a JPEG has all its colours: its decoder keeps no coefficients then"""
    colours: int = 3
    """of a JPEG"""
    orientation: int = 1
    interlaced: bool = False
    bits: int = 8
    """of a pixel of a PNG, all its channels together"""

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height


def read_header(body: bytes) -> PictureHeader:
    """The header of a PNG or JPEG. Raises `ImageError` for anything else, and for a damaged one.

    Looks at no pixel; the time is that of finding the scans of a progressive JPEG, if it is one.
    """
    if not body:
        raise ImageError(f"{WANTED}, got an empty body")
    try:
        if body.startswith(PNG):
            return _read_png(body)
        if body.startswith(JPEG):
            return _read_jpeg(body)
    except (struct.error, IndexError):
        raise ImageError(f"{WANTED}, the header is cut off") from None
    raise ImageError(f"{WANTED}, got {len(body)} bytes of something else")


class ForCard(NamedTuple):
    """What decoding a picture for a model's card keeps of it, in pixels."""

    decoded: int
    """of a JPEG: a half, a quarter or an eighth of its sides where that is enough"""
    fitted: int
    """that are stretched to the card's size; none where it picks the nearest ones"""
    card: int
    """that the model takes"""


NO_CARD = ForCard(0, 0, 0)
"""where only the header is judged"""


def picture_memory_bytes(header: PictureHeader, kept: ForCard = NO_CARD) -> int:
    """Bytes that a picture takes at the most while it is decoded and fitted.

    A decoded pixel takes 4 bytes; a PNG is decoded whole. A JPEG whose pixels are said in several
    scans holds its coefficients beside them, 2 bytes for each of its colours.
    """
    decoded = header.pixels if header.format == "PNG" else kept.decoded
    memory = decoded * 4 + kept.fitted * FITTED_BYTES
    if header.progressive or not header.whole_scans:
        return memory + header.pixels * 2 * header.colours
    return max(memory, header.pixels * 2)


def check_cost(header: PictureHeader, size_bytes: int, kept: ForCard = NO_CARD) -> None:
    """Raise `ImageError` if a body of `size_bytes` with this header may not be decoded."""
    width, height = header.width, header.height
    what = f"{header.format} of {width}x{height}"
    if not width or not height:
        raise ImageError(f"{WANTED}, got a {what}")
    if header.pixels > MAX_PIXELS:
        raise ImageError(f"{WANTED}, got a {what}")
    longer, shorter = max(width, height), min(width, height)
    if longer > MAX_SIDE or longer > MAX_RATIO * shorter:
        raise ImageError(
            f"{WANTED}, no side over {MAX_SIDE} or {MAX_RATIO} times the other, got a {what}"
        )
    if header.pixels * header.scans > MAX_PASSES:
        raise ImageError(f"{WANTED}, got a {what} in {header.scans} scans; save it in fewer")
    allowed = MEMORY_PER_BYTE * size_bytes + MEMORY_FREE_BYTES + MEMORY_PER_CARD_PIXEL * kept.card
    if picture_memory_bytes(header, kept) > allowed:
        raise ImageError(
            f"{WANTED}, got a {what} in {size_bytes} bytes, far less than its pixels take; send it "
            "smaller"
        )


def png_without_extras(body: bytes) -> bytes:
    """The PNG with only the chunks that decide its pixels. Raises `ImageError` if it is damaged."""
    kept = [(start, end) for kind, start, end in png_chunks(body) if kind in KEPT]
    if len(PNG) + sum(end - start for start, end in kept) == len(body):
        return body
    # A slice is copied under the interpreter's lock, so none is long.
    slices = (
        (at, min(at + SLICE_BYTES, end))
        for start, end in kept
        for at in range(start, end, SLICE_BYTES)
    )
    return b"".join([PNG, *(body[start:end] for start, end in slices)])


def png_chunks(body: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of each chunk, up to IEND; a chunk's data is 8 bytes behind its start, and
    4 bytes of checksum behind that. Raises `ImageError` if one is damaged or there are too many."""
    start = len(PNG)
    for _ in range(MAX_PARTS):
        if start + 8 > len(body):
            raise ImageError(f"{WANTED}, the PNG is damaged: it ends before its end chunk")
        (size,) = struct.unpack_from(">I", body, start)
        kind = body[start + 4 : start + 8]
        end = start + 12 + size
        if end > len(body):
            raise ImageError(f"{WANTED}, the PNG is damaged: a chunk goes beyond the body")
        yield kind, start, end
        if kind == b"IEND":
            return
        start = end
    raise ImageError(f"{WANTED}, got a PNG of over {MAX_PARTS} chunks")


def _read_png(body: bytes) -> PictureHeader:
    if body[8:16] != IHDR:
        raise ImageError(f"{WANTED}, the PNG is damaged: it does not begin with IHDR")
    width, height, bits, colours = struct.unpack_from(">IIBB", body, 16)
    orientation = 0
    for kind, start, end in png_chunks(body):
        if kind == b"IHDR" and start > len(PNG):  # decoders believe the last one
            raise ImageError(f"{WANTED}, the PNG is damaged: it has two sizes")
        if kind == b"tRNS" and colours in (0, 2) and bits != 8:
            raise ImageError(
                f"{WANTED}, got a PNG of {bits} bits a colour with one that is transparent; give "
                "it an alpha channel instead"
            )
        if kind == b"eXIf" and not orientation:
            orientation = read_orientation(body[start + 8 : end - 4])
    return PictureHeader(
        "PNG", width, height, orientation=orientation or 1, interlaced=body[28] != 0,
        bits=bits * CHANNELS.get(colours, 1),
    )  # fmt: skip


def _read_jpeg(body: bytes) -> PictureHeader:
    found: PictureHeader | None = None
    exif: list[bytes] = []
    start = 2
    for _ in range(MAX_PARTS):
        if body[start] != 0xFF:
            raise ImageError(f"{WANTED}, the JPEG is damaged: no marker where one belongs")
        while body[start] == 0xFF:  # any number of them may stand before a marker
            start += 1
        marker = body[start]
        start += 1
        if marker in ALONE:
            continue
        if marker in (SCAN, END):
            break
        (size,) = struct.unpack_from(">H", body, start)
        if size < 2:
            raise ImageError(f"{WANTED}, the JPEG is damaged: a segment without a length")
        if marker in FRAMES:
            if found is not None:
                raise ImageError(f"{WANTED}, the JPEG is damaged: it has two sizes")
            height, width = struct.unpack_from(">HH", body, start + 3)
            found = PictureHeader(
                "JPEG", width, height, progressive=marker in PROGRESSIVE, colours=body[start + 7]
            )
        elif marker == APP1 and body[start + 2 : start + 8] == EXIF:
            exif.append(body[start + 8 : start + size])
        start += size
    else:
        raise ImageError(f"{WANTED}, got a JPEG of over {MAX_PARTS} segments")
    if found is None:
        raise ImageError(f"{WANTED}, the JPEG is damaged: it does not say its size")
    orientation = read_orientation(b"".join(exif)) if exif else 1  # one goes on in the next
    whole_scans = marker == SCAN and body[start + 2] >= found.colours
    if whole_scans and not found.progressive:  # no decoder reads on behind the one scan
        return replace(found, orientation=orientation)
    scans = max(1, _count_scans(body, start - 2))
    return replace(found, scans=scans, whole_scans=whole_scans, orientation=orientation)


def _count_scans(body: bytes, start: int) -> int:
    """Scans from the marker at `start` to the end of the (first) picture."""
    scans = 0
    for _ in range(MAX_PARTS):
        found = MARKER.search(body, start)
        if found is None or body[found.end() - 1] == END:
            return scans
        marker, start = body[found.end() - 1], found.end()
        scans += marker == SCAN
        if marker not in ALONE:
            start += int.from_bytes(body[start : start + 2], "big")
    raise ImageError(f"{WANTED}, got a JPEG of over {MAX_PARTS} segments")
