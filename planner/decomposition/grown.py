"""An array that grows row by row, and is used as a whole between."""

from __future__ import annotations

import numpy as np

from planner.problem import FloatArray

__all__ = ["Grown"]

FIRST_ROWS = 16


class Grown:
    """Rows of one shape. Appending costs a copy of all of them only each time they have doubled."""

    def __init__(self, *shape: int) -> None:
        self._room = np.empty((FIRST_ROWS, *shape))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, row: FloatArray | float) -> None:
        """Add one row."""
        if self._count == len(self._room):
            self._room = np.concatenate([self._room, np.empty_like(self._room)])
        self._room[self._count] = row
        self._count += 1

    def extend(self, rows: FloatArray) -> None:
        """Add several."""
        for row in rows:
            self.append(row)

    @property
    def rows(self) -> FloatArray:
        """All of them; valid until the next is added."""
        return self._room[: self._count]
