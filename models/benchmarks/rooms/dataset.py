"""The benchmark `rooms`: seeded splits of ray-cast indoor pictures with exact labels."""

from __future__ import annotations

import numpy as np

from models.benchmarks import raycast
from models.benchmarks.raycast.cast import cast
from models.benchmarks.rooms.labels import dense_labels
from models.benchmarks.rooms.scene import sample_scene
from models.benchmarks.rooms.shading import photograph
from models.benchmarks.splits.interface import Sample
from models.benchmarks.splits.procedural import ProceduralBenchmark

__all__ = ["DATA_SEED", "SPLITS", "Rooms"]

DATA_SEED = 20_260
SPLITS = {"train": 3_000, "val": 200, "test": 500}


class Rooms(ProceduralBenchmark):
    """A split of furnished rooms seen at eye height."""

    name = "rooms"
    splits = SPLITS
    data_seed = DATA_SEED
    native_size = (96, 96)
    shared_sources = (raycast.__file__,)

    def _render(self, index: int, rng: np.random.Generator) -> Sample:
        scene = sample_scene(rng)
        hits = cast(scene, *self.size)
        return Sample(photograph(scene, hits, rng), dense_labels(scene, hits))
