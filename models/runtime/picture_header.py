"""What a picture would cost to decode, from its first bytes: size, scans, memory. No torch here.

A body of a few hundred bytes can ask for megapixels, for hundreds of passes over them, or for a
row of a million. So the header is judged by this reader before a decoder sees the body: whatever
may not be decoded is refused by name, and who decodes knows whether it is a matter of microseconds.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

__all__ = [
    "MAX_PIXELS", "WANTED", "ImageError", "PictureHeader", "check_cost", "picture_memory_bytes",
    "png_without_extras", "read_header",
]  # fmt: skip

MAX_PIXELS = 2**23
"""of a picture that is decoded: 3840 x 2160 and a little more"""
MAX_SIDE, MAX_RATIO = 2**15, 64
"""pixels of the longer side; longer side / shorter side"""
MAX_PASSES = 2**27
"""pixels times scans: each scan of a progressive JPEG goes over all pixels"""
MAX_PARTS = 2_048
"""segments of a JPEG before its pixels, or chunks of a PNG; libpng writes one for 8 KiB"""
MEMORY_PER_BYTE, MEMORY_FREE_BYTES = 8, 12 * 2**20
"""a picture may take this many bytes for each of its own, and these beside them"""
EXIF_BYTES = 2**16

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
"""chunks that decide pixels; text, colour profiles and further frames of an animation do not"""
FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
ALONE = {0x01, *range(0xD0, 0xD8)}
"""markers without a length"""
SCAN, END, APP1 = 0xDA, 0xD9, 0xE1
ORIENTATION = 0x0112
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
    colours: int = 3
    """of a JPEG"""
    orientation: int = 1

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height


def read_header(body: bytes) -> PictureHeader:
    """The header of a PNG or JPEG. Raises `ImageError` for anything else, and for a damaged one.

    Looks at no pixel; the time is that of finding bytes in the body.
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


def picture_memory_bytes(header: PictureHeader) -> int:
    """Bytes that a picture takes at the most while it is decoded.

    A PNG is decoded whole, 4 bytes a pixel. A JPEG is decoded at an eighth of its sides or more;
    one of several scans holds its coefficients, 2 bytes for each of its colours.
    """
    if header.format == "PNG":
        return header.pixels * 4
    several = header.progressive or header.scans > 1
    return header.pixels * 2 * (header.colours if several else 1)


def check_cost(header: PictureHeader, size_bytes: int) -> None:
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
    if picture_memory_bytes(header) > MEMORY_PER_BYTE * size_bytes + MEMORY_FREE_BYTES:
        raise ImageError(
            f"{WANTED}, got a {what} in {size_bytes} bytes, far less than its pixels take; send it "
            "smaller"
        )


def png_without_extras(body: bytes) -> bytes:
    """The PNG with only the chunks that decide its pixels. Raises `ImageError` if it is damaged."""
    parts = [PNG]
    for kind, start, end in _chunks(body):
        if kind in KEPT:
            parts.append(body[start:end])
    return b"".join(parts)


def _chunks(body: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of each chunk, up to IEND; a chunk's data is 8 bytes behind its start."""
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
    if body[12:16] != b"IHDR":
        raise ImageError(f"{WANTED}, the PNG is damaged: it does not begin with IHDR")
    width, height, bits, colours = struct.unpack_from(">IIBB", body, 16)
    orientation = 1
    for kind, start, end in _chunks(body):
        if kind == b"tRNS" and colours in (0, 2) and bits != 8:
            raise ImageError(
                f"{WANTED}, got a PNG of {bits} bits a colour with one that is transparent; give "
                "it an alpha channel instead"
            )
        if kind == b"eXIf" and end - start < EXIF_BYTES:
            orientation = _orientation(body[start + 8 : end - 4])
    return PictureHeader("PNG", width, height, orientation=orientation)


def _read_jpeg(body: bytes) -> PictureHeader:
    found: PictureHeader | None = None
    orientation, start = 1, 2
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
        elif marker == APP1 and body[start + 2 : start + 8] == b"Exif\0\0":
            orientation = _orientation(body[start + 8 : start + size])
        start += size
    else:
        raise ImageError(f"{WANTED}, got a JPEG of over {MAX_PARTS} segments")
    if found is None:
        raise ImageError(f"{WANTED}, the JPEG is damaged: it does not say its size")
    # Within a scan 0xFF is followed by 0 or a restart marker, so these are scans, or bytes of a
    # thumbnail, which make the count too large at most.
    scans = max(1, body.count(bytes((0xFF, SCAN))))
    return replace(found, scans=scans, orientation=orientation)


def _orientation(exif: bytes) -> int:
    """The orientation that EXIF data names; 1 where it names none or is damaged."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    with suppress(struct.error):
        (directory,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, directory)
        entries = exif[directory + 2 : directory + 2 + 12 * count]
        for tag, _, _, value in struct.iter_unpack(
            f"{order}HHIH2x", entries[: len(entries) // 12 * 12]
        ):
            if tag == ORIENTATION:
                return int(value) if 1 <= value <= 8 else 1
    return 1
