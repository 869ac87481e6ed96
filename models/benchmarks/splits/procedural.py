"""Seeded splits of rendered pictures: the part that all procedural benchmarks share."""

from __future__ import annotations

import hashlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from cluster.errors import InputError
from models.benchmarks.splits.interface import Sample
from models.tasks import tasks_of

__all__ = ["ProceduralBenchmark"]

SMALLEST_PX = 16


class ProceduralBenchmark(ABC):
    """A split whose samples are rendered on request.

    A sample is a pure function of (split, index, size): its generator is seeded with the data
    seed, the split's own stream number and the index, so no two splits share a random stream.
    """

    name: ClassVar[str]
    splits: ClassVar[Mapping[str, int]]
    data_seed: ClassVar[int]
    native_size: ClassVar[tuple[int, int]]
    """height and width that the zoo's models take"""
    shared_sources: ClassVar[tuple[str, ...]] = ()
    """files of packages outside the benchmark's own that its samples depend on"""

    def __init__(
        self, split: str, size: tuple[int, int] | None = None, count: int | None = None
    ) -> None:
        """Use `count` samples of (height, width) `size`. Raises `InputError` on a bad split."""
        if split not in self.splits:
            raise InputError(f"no split {split!r} of {self.name}; splits: {', '.join(self.splits)}")
        self.size = size or self.native_size
        if min(self.size) < SMALLEST_PX:
            raise ValueError(
                f"{self.name} are rendered from {SMALLEST_PX} x {SMALLEST_PX} pixels up, got {size}"
            )
        self.split = split
        self._count = self.splits[split] if count is None else count

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the benchmark's tasks."""
        return tasks_of(self.name)

    @property
    def key(self) -> str:
        """Split and a digest of seed, size, count and the renderer's source."""
        facts = f"{self.data_seed} {self.split} {self.size} {self._count}"
        digest = hashlib.sha256(facts.encode())
        for package in (inspect.getfile(type(self)), *self.shared_sources):
            for source in sorted(Path(package).parent.glob("*.py")):
                digest.update(source.read_bytes())
        return f"{self.split}-{digest.hexdigest()[:16]}"

    def __len__(self) -> int:
        return self._count

    def sample(self, index: int) -> Sample:
        """Render sample `index`. Raises `IndexError` outside 0 .. len - 1."""
        if not 0 <= index < self._count:
            raise IndexError(
                f"{self.name} {self.split} has samples 0 to {self._count - 1}, not {index}"
            )
        stream = 1 + list(self.splits).index(self.split)
        return self._render(index, np.random.default_rng([self.data_seed, stream, index]))

    @abstractmethod
    def _render(self, index: int, rng: np.random.Generator) -> Sample:
        """The sample that `rng`, seeded for `index`, draws."""
