"""Training batches as a pure function of (seed, step), so that a resumed run sees the same data.

Axes: `b` images, `h` rows, `w` columns, `3` colours or vector components.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np
import torch
from torch import Tensor

from models.benchmarks.splits.rendered import RenderedSplit
from models.tasks import BOX_FIELDS, Kind, find_task

__all__ = ["TrainingBatch", "batch_indices", "draw_batch", "flip"]

GAIN = 0.15  # largest change of brightness and of each colour
_ORDER, _CHANGE = 1, 2  # independent random streams of one seed


@dataclass(frozen=True)
class TrainingBatch:
    """Pictures (b, h, w, 3) uint8 and labels by task; `rows` as in
    `models.training.losses.total_loss`."""

    image: Tensor
    labels: dict[str, Tensor]
    rows: dict[str, Tensor]


def draw_batch(
    split: RenderedSplit, tasks: Sequence[str], seed: int, step: int, size: int
) -> TrainingBatch:
    """The `size` augmented samples of training step `step`, out of those that carry a task."""
    pool = reduce(np.union1d, [split.rows[task] for task in tasks])
    picked = pool[batch_indices(len(pool), seed, step, size)]
    rng = np.random.default_rng([seed, _CHANGE, step])
    image = _recolour(split.image_nhw3[picked], rng)
    labels = {task: split.labels[task][picked] for task in tasks}
    mirrored = rng.random(size) < 0.5
    image[mirrored] = image[mirrored, :, ::-1]
    for task, label in labels.items():
        label[mirrored] = flip(find_task(task).kind, label[mirrored])
    rows = {
        task: torch.from_numpy(np.flatnonzero(np.isin(picked, split.rows[task])))
        for task in tasks
        if len(split.rows[task]) < len(split)
    }
    return TrainingBatch(
        torch.from_numpy(image), {t: torch.from_numpy(v) for t, v in labels.items()}, rows
    )


def batch_indices(total: int, seed: int, step: int, batch: int) -> np.ndarray:
    """(b,) samples of a step: epochs are permutations laid end to end and cut into batches."""
    place = np.arange(step * batch, (step + 1) * batch)
    return np.array([_epoch(total, seed, int(p) // total)[int(p) % total] for p in place])


def flip(kind: Kind, array: np.ndarray) -> np.ndarray:
    """(b, ...) labels of pictures mirrored left to right; rightward components change sign."""
    if kind is Kind.CATEGORY:
        return array
    if kind is Kind.BOXES:
        mirrored = array.copy()
        for field in ("right", "heading"):
            mirrored[..., BOX_FIELDS.index(field)] *= -1
        return mirrored
    mirrored = array[:, :, ::-1].copy()
    if kind is Kind.VECTORS:
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
