"""What every benchmark offers, procedural or read from disk.

A benchmark is opened for one split. `BENCHMARKS` in `models.benchmarks.registry` lists them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

__all__ = ["Benchmark", "Sample"]


@dataclass(frozen=True)
class Sample:
    """One picture, (h, w, 3) uint8 RGB, and its labels by task name (forms of `models.tasks`).

    A sample may lack tasks: a sketch has no label of the task that names photographs.
    """

    image: np.ndarray
    labels: dict[str, np.ndarray]


class Benchmark(Protocol):
    """A split of labelled pictures of one size; `sample(i)` never changes."""

    @property
    def name(self) -> str:
        """Name in cards, commands and the cache's path."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of its tasks, all in `models.tasks.TASKS`."""

    @property
    def splits(self) -> Mapping[str, int]:
        """Usual number of samples of each split."""

    @property
    def split(self) -> str:
        """The split this one is opened for."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its pictures."""

    @property
    def key(self) -> str:
        """Short digest of everything that decides its samples; a cache's folder name."""

    def __len__(self) -> int:
        """Number of samples."""

    def sample(self, index: int) -> Sample:
        """Sample `index`. Raises `IndexError` outside 0 .. len - 1."""
