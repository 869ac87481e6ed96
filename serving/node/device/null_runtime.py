"""A model of a null node: answers of zeros, computed by nothing (no torch here).

The device time of the node (`EmulatedTime`) holds each batch until the device would have had it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.tasks import find_task
from serving.node.device.served import Image

__all__ = ["NullRuntime"]


class NullRuntime:
    """Answers `tasks` with zeros, and counts as `weights_bytes` of the node's memory."""

    def __init__(self, tasks: Sequence[str], weights_bytes: int) -> None:
        self.weights_bytes = weights_bytes
        self._tasks = [find_task(name) for name in tasks]

    def run(self, images: Image) -> dict[str, NDArray[np.generic]]:
        """See `Runtime.run`."""
        batch, height, width, _ = images.shape
        return {
            task.name: np.zeros((batch, *task.answer_shape(height, width)), task.answer_dtype)
            for task in self._tasks
        }

    def close(self) -> None:
        """See `Runtime.close`; nothing is held."""
