"""The one model that every server of the comparison runs: a frozen TorchScript file, one thread.

A query is the raw bytes of one (h, w, 3) uint8 image, an answer the raw bytes of its prediction,
so that no server spends time on anything that another need not do.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

__all__ = ["FrozenModel"]

WARM_BATCHES = 33


class FrozenModel:
    """A trace and the shape of its images, (h, w, 3), which lies beside it as JSON."""

    def __init__(self, path: str) -> None:
        torch.set_num_threads(1)
        torch.jit.set_fusion_strategy([])  # as our own engine runs it
        self._module = torch.jit.load(path)
        self.shape = tuple(json.loads(Path(path).with_suffix(".json").read_text()))
        # The first batch of a size takes longer; our own nodes rehearse them all, too.
        for batch in (2, *range(1, WARM_BATCHES)):
            self.run(np.zeros((batch, *self.shape), np.uint8))

    def run(self, image_bhw3: np.ndarray) -> np.ndarray:
        """Predictions of a batch for the model's first task, (b, ...)."""
        with torch.inference_mode():
            answer, *_ = self._module(torch.from_numpy(image_bhw3))
        predicted: np.ndarray = answer.numpy()
        return predicted

    def run_raw(self, images: list[bytes]) -> list[bytes]:
        """Predictions of a batch as raw bytes, one a query."""
        stacked = np.frombuffer(bytearray().join(images), np.uint8).reshape((-1, *self.shape))
        return [answer.tobytes() for answer in self.run(stacked)]
