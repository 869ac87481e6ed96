"""One image on its way through a node: decoded or packed for a link once at most, if needed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from serving.node.errors import RefusedError

__all__ = ["ImageSource", "Picture"]

Pixels = NDArray[np.uint8]

ImageSource = Pixels | Callable[[], Pixels]
"""an image (h, w, 3), or what decodes it"""


class Picture:
    """`source` is an image, what decodes one, or its raw bytes as they came over a link."""

    __slots__ = ("_packed", "_pixels", "_source")

    def __init__(self, source: ImageSource | bytes) -> None:
        self._source = source
        self._pixels: Pixels | None = None
        self._packed: bytes | None = None

    def pixels(self, shape: tuple[int, int, int]) -> Pixels:
        """The image as an array; the same array at every call. Raw bytes take `shape`, and
        raise `RefusedError` where they do not fit it."""
        if self._pixels is None:
            if isinstance(self._source, bytes):
                self._pixels = _unpack(self._source, shape)
            elif callable(self._source):
                self._pixels = self._source()
            else:
                self._pixels = self._source
        return self._pixels

    def packed(self) -> bytes:
        """The image as raw bytes."""
        if self._packed is None:
            raw = self._source
            self._packed = raw if isinstance(raw, bytes) else self.pixels((0, 0, 0)).tobytes()
        return self._packed


def _unpack(body: bytes, shape: tuple[int, int, int]) -> Pixels:
    expected = int(np.prod(shape))
    if len(body) != expected:
        raise RefusedError("bad_image", f"expected {expected} bytes of pixels, got {len(body)}")
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)
