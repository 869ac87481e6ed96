"""One image on its way through a node: decoded once at most, and only if it is needed."""

from __future__ import annotations

from collections.abc import Callable

from serving.node.executor import Image

__all__ = ["ImageSource", "Picture"]

ImageSource = Image | Callable[[], Image]
"""an image (h, w, 3), or what decodes it"""


class Picture:
    """An image from its source."""

    __slots__ = ("_pixels", "_source")

    def __init__(self, source: ImageSource) -> None:
        self._source = source
        self._pixels: Image | None = None

    def pixels(self) -> Image:
        """The image; the same array at every call, so that its queries can share a pass."""
        if self._pixels is None:
            self._pixels = self._source() if callable(self._source) else self._source
        return self._pixels
