"""What a device runs, what goes in, and what comes out: the answer to one query of an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Image", "Runtime", "Served"]

Image = NDArray[np.uint8]
"""(h, w, 3)"""


class Served(NamedTuple):
    """The prediction for one query and where its time went (seconds)."""

    prediction: NDArray[np.generic]
    batch_size: int
    queue_s: float
    batch_wait_s: float
    compute_s: float


class Runtime(Protocol):
    """A loaded model, as a device sees it (`models.runtime.model_runtime.ModelRuntime`)."""

    weights_bytes: int
    """what it holds of the device's memory between batches"""

    def run(self, images: Image) -> Mapping[str, NDArray[np.generic]]:
        """Answers of every task of the model for uint8 images (b, h, w, 3)."""
        ...

    def close(self) -> None:
        """Free the model's memory."""
        ...
