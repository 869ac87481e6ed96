"""What a task is: how an answer is encoded, scored against its label, and drawn.

An answer is what serving returns for one image, a small array; a label has the same form. Scores
lie in [0, 1] per image and higher is better. No torch here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

__all__ = ["BOX_FIELDS", "MOST_BOXES", "Kind", "Task"]

MOST_BOXES = 16
BOX_FIELDS = ("confidence", "right", "down", "forward", "length", "width", "height", "heading")
"""metres in camera axes for the box's centre and extents, radians about the downward axis"""


class Kind(StrEnum):
    """Form of an answer; heads, losses, encoders and flips are chosen by it."""

    CLASSES = "classes"
    """(h, w) uint8 class ids"""
    METRES = "metres"
    """(h, w) float16 along the optical axis"""
    VECTORS = "vectors"
    """(h, w, 3) int8, 127 times a unit vector in camera axes right, down, forward"""
    CHANCES = "chances"
    """(h, w) uint8, 255 times a probability"""
    CATEGORY = "category"
    """(classes,) float16 probability of each class of the whole image"""
    BOXES = "boxes"
    """(MOST_BOXES, 8) float16 rows of `BOX_FIELDS`, most confident first, unused rows zero"""


_DTYPES = {
    Kind.CLASSES: "uint8",
    Kind.METRES: "float16",
    Kind.VECTORS: "int8",
    Kind.CHANCES: "uint8",
    Kind.CATEGORY: "float16",
    Kind.BOXES: "float16",
}


@dataclass(frozen=True)
class Task:
    """One task of one benchmark; names are unique over all benchmarks."""

    name: str
    benchmark: str
    kind: Kind
    unit: str
    metric: str
    score: Callable[[np.ndarray, np.ndarray], float]
    render: Callable[[np.ndarray], np.ndarray]
    classes: tuple[str, ...] = ()
    """names of the class ids, for kinds that have classes"""
    field_of_view: float = 0.0
    """radians across the picture's width, for kinds that turn pixels into metres"""

    @property
    def answer_dtype(self) -> str:
        """numpy's name of an answer's type."""
        return _DTYPES[self.kind]

    @property
    def channels(self) -> int:
        """Width of the network's head, not of the answer."""
        if self.kind in (Kind.CLASSES, Kind.CATEGORY):
            return len(self.classes)
        return {Kind.VECTORS: 3, Kind.BOXES: 1 + len(BOX_FIELDS)}.get(self.kind, 1)

    def answer_shape(self, height: int, width: int) -> tuple[int, ...]:
        """Shape of the answer for one image of this size."""
        if self.kind is Kind.CATEGORY:
            return (len(self.classes),)
        if self.kind is Kind.BOXES:
            return (MOST_BOXES, len(BOX_FIELDS))
        return (height, width, 3) if self.kind is Kind.VECTORS else (height, width)

    def answer_bytes(self, height: int, width: int) -> int:
        """Size d_t of one image's answer on the wire."""
        shape = self.answer_shape(height, width)
        return int(np.prod(shape)) * np.dtype(self.answer_dtype).itemsize
