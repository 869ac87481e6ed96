"""The benchmark `domains`: seeded splits of one thing a picture, the domains in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator

from models.benchmarks.domains.canvas import FINER, shrink
from models.benchmarks.domains.lines import quickdraw, sketch
from models.benchmarks.domains.shapes import Part
from models.benchmarks.domains.surfaces import clipart, infograph, painting, real
from models.benchmarks.domains.things import THINGS
from models.benchmarks.splits.interface import Sample
from models.benchmarks.splits.procedural import ProceduralBenchmark
from models.tasks import DOMAINS_CLASSES, find_task

__all__ = ["Domains"]

Style = Callable[[str, Sequence[Part], Generator, tuple[int, int]], np.ndarray]

STYLES: dict[str, Style] = {
    "real": real,
    "painting": painting,
    "clipart": clipart,
    "sketch": sketch,
    "quickdraw": quickdraw,
    "infograph": infograph,
}


SPLITS = {"train": 24_000, "val": 600, "test": 3_000}


class Domains(ProceduralBenchmark):
    """A split of pictures; picture i shows the thing's kind in domain i modulo six.

    Its only label is that of its own domain's task: to name things in sketches is another task
    than to name them in photographs.
    """

    name = "domains"
    splits = SPLITS
    data_seed = 20_261
    native_size = (64, 64)

    def _render(self, index: int, rng: Generator) -> Sample:
        domain = self.tasks[index % len(self.tasks)]
        number = int(rng.integers(len(DOMAINS_CLASSES)))
        thing = DOMAINS_CLASSES[number]
        parts = THINGS[thing](rng)
        size = (FINER * self.size[0], FINER * self.size[1])
        image = shrink(STYLES[domain](thing, parts, rng, size))
        label = np.zeros(len(DOMAINS_CLASSES), find_task(domain).answer_dtype)
        label[number] = 1
        return Sample(image, {domain: label})
