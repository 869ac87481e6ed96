"""The benchmark `rooms`: seeded splits of ray-cast indoor pictures with exact labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.benchmarks.rooms.labels import dense_labels
from models.benchmarks.rooms.raycast import cast
from models.benchmarks.rooms.scene import sample_scene
from models.benchmarks.rooms.shading import photograph

__all__ = ["DATA_SEED", "SPLITS", "Rooms", "Sample"]

DATA_SEED = 20_260
SPLITS = {"train": 3_000, "val": 200, "test": 500}
_STREAM = {"train": 1, "val": 2, "test": 3}


@dataclass(frozen=True)
class Sample:
    """One picture, (h, w, 3) uint8 RGB, and its labels by task name (forms of `models.tasks`)."""

    image: np.ndarray
    labels: dict[str, np.ndarray]


class Rooms:
    """A split of the benchmark; every sample is rendered on request and never changes.

    A sample is a pure function of (split, index, size): its generator is seeded with the data
    seed, the split's own stream number and the index, so no two splits share a random stream.
    """

    name = "rooms"

    def __init__(
        self, split: str, size: tuple[int, int] = (96, 96), count: int | None = None
    ) -> None:
        """Use `count` samples of (height, width) `size`. Raises `ValueError` on a bad split."""
        if split not in SPLITS:
            raise ValueError(f"no split {split!r} of rooms; splits: {', '.join(SPLITS)}")
        if min(size) < 16:
            raise ValueError(f"rooms are rendered from 16 x 16 pixels up, got {size}")
        self.split = split
        self.size = size
        self._count = SPLITS[split] if count is None else count

    def __len__(self) -> int:
        return self._count

    def sample(self, index: int) -> Sample:
        """Render sample `index`. Raises `IndexError` outside 0 .. len - 1."""
        if not 0 <= index < self._count:
            raise IndexError(f"rooms {self.split} has samples 0 to {self._count - 1}, not {index}")
        rng = np.random.default_rng([DATA_SEED, _STREAM[self.split], index])
        scene = sample_scene(rng)
        hits = cast(scene, *self.size)
        return Sample(photograph(scene, hits, rng), dense_labels(scene, hits))
