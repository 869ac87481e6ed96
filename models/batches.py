"""Training batches as a pure function of (seed, step), so that a resumed run sees the same data.

Axes: `b` images, `h` rows, `w` columns, `3` colours or vector components.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from models.benchmarks.cache import RenderedSplit

__all__ = ["batch_indices", "draw_batch", "flip"]

GAIN = 0.15  # largest change of brightness and of each colour
_ORDER, _CHANGE = 1, 2  # independent random streams of one seed


def draw_batch(
    split: RenderedSplit, tasks: Sequence[str], seed: int, step: int, batch: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """Pictures (b, h, w, 3) uint8 and labels by task of training step `step`, augmented."""
    rows = batch_indices(len(split), seed, step, batch)
    rng = np.random.default_rng([seed, _CHANGE, step])
    image = _recolour(split.image_nhw3[rows], rng)
    labels = {task: split.labels[task][rows] for task in tasks}
    mirrored = rng.random(batch) < 0.5
    image[mirrored] = flip("image", image[mirrored])
    for task, label in labels.items():
        label[mirrored] = flip(task, label[mirrored])
    return torch.from_numpy(image), {t: torch.from_numpy(v) for t, v in labels.items()}


def batch_indices(total: int, seed: int, step: int, batch: int) -> np.ndarray:
    """(b,) samples of a step: epochs are permutations laid end to end and cut into batches."""
    place = np.arange(step * batch, (step + 1) * batch)
    return np.array([_epoch(total, seed, int(p) // total)[int(p) % total] for p in place])


def flip(field: str, array: np.ndarray) -> np.ndarray:
    """(b, h, w, ...) mirrored left to right; a normal's rightward component changes sign."""
    mirrored = array[:, :, ::-1].copy()
    if field == "normals":
        mirrored[..., 0] = -mirrored[..., 0]
    return mirrored


@lru_cache(maxsize=2)
def _epoch(total: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, _ORDER, epoch]).permutation(total)


def _recolour(image_bhw3: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    count = len(image_bhw3)
    gain = (1 + rng.uniform(-GAIN, GAIN, (count, 1, 1, 1))) * (
        1 + rng.uniform(-GAIN / 3, GAIN / 3, (count, 1, 1, 3))
    )
    return np.clip(image_bhw3 * gain.astype(np.float32) + 0.5, 0, 255).astype(np.uint8)
