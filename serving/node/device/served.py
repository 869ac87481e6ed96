"""What goes into a device and what comes out: an image, and the answer to one query of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Image", "Served"]

Image = NDArray[np.uint8]
"""(h, w, 3)"""


class Served(NamedTuple):
    """The prediction for one query and where its time went (seconds)."""

    prediction: NDArray[np.generic]
    batch_size: int
    queue_s: float
    batch_wait_s: float
    compute_s: float
