"""When pictures are decoded: small ones where they arrive, large ones on threads, never too many.

How is `models.runtime.image_bodies.decode_image`, which a node hands in. The header of a picture is
read here where its body is small, to know whether it is, and goes along with it.

A picture of a few megapixels takes a tenth of a second to decode and to shrink. On the event loop
that would be a tenth of a second in which nobody is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from models.runtime.picture_header import ImageError, PictureHeader, read_header
from serving.errors import BadQueryError, RefusalReason, RefusedError
from serving.http.limits import Limits

__all__ = ["Decode", "PictureDecoder", "is_heavy"]

LIGHT_PASSES = 2**17
"""pixels, times the scans that go over them"""
LIGHT_BYTES = 2**17
THREADS = 2

Decode = Callable[[bytes, PictureHeader], NDArray[np.uint8]]
"""(h, w, 3) uint8 of a body and its header; raises `ValueError` for what is not to be decoded"""


class PictureDecoder:
    """Decodes with `decode`."""

    def __init__(self, decode: Decode, limits: Limits) -> None:
        self._decode = decode
        self._limit = limits.decoding
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="pictures")
        self._waiting = 0

    async def decode(self, body: bytes) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 of a body. Raises `BadQueryError`, and `RefusedError` when as many large
        pictures wait as may."""
        header = None
        if len(body) <= LIGHT_BYTES:
            try:
                header = read_header(body)
            except ImageError as error:
                raise BadQueryError(422, str(error)) from None
            if not is_heavy(header):
                return self._decoded(body, header)
        if self._waiting >= self._limit:
            raise RefusedError(
                RefusalReason.DOOR_FULL, f"{self._limit} large pictures wait to be decoded"
            )
        self._waiting += 1
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._threads, self._decoded, body, header)
        work.add_done_callback(lambda _: self._end())
        return await work

    def _end(self) -> None:
        self._waiting -= 1

    def _decoded(self, body: bytes, header: PictureHeader | None) -> NDArray[np.uint8]:
        try:
            return self._decode(body, header or read_header(body))
        except ValueError as error:
            raise BadQueryError(422, str(error)) from None
        except Exception as error:  # noqa: BLE001
            # Decoders meet hostile bytes with exceptions of every kind; all are the body's fault.
            raise BadQueryError(422, f"the image cannot be decoded: {error!r}") from None


def is_heavy(header: PictureHeader) -> bool:
    """Whether decoding a picture, of at most `LIGHT_BYTES`, may take over a millisecond or two."""
    return header.pixels * header.scans > LIGHT_PASSES
