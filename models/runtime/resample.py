"""Maps at another size, each value from one pixel: for labels and answers, which do not average."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["nearest", "nearest_places"]


def nearest_places(old: int, new: int) -> NDArray[np.intp]:
    """Of `old` pixels in a row, the ones under the middles of `new` cells over the same length."""
    return (np.arange(new) * 2 + 1) * old // (2 * new)


def nearest(map_bhw: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(b, h, w, ...) values at (height, width) `size`, each from the pixel under the middle of its
    cell."""
    rows = nearest_places(map_bhw.shape[1], size[0])
    columns = nearest_places(map_bhw.shape[2], size[1])
    return map_bhw[:, rows[:, None], columns]
