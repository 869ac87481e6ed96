"""A split of a data set on disk: which samples it has, and what all such data sets share."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from cluster.errors import InputError
from models.benchmarks.splits.interface import Sample
from models.tasks import tasks_of

__all__ = ["DataError", "StoredBenchmark", "share_of"]

ORDER_SEED = 20_263
SMALLEST_PX = 16


class DataError(InputError):
    """A data set is not laid out as its owners publish it; names the path and what was expected."""


class StoredBenchmark(ABC):
    """Samples of one split under `root`, in an order drawn once, fitted to one size.

    A subclass lists the samples of each split as paths under the root and reads one. Opening it
    looks at names only; a file that is missing or damaged shows when its sample is read.
    """

    name: ClassVar[str]
    native_size: ClassVar[tuple[int, int]]
    split_names: ClassVar[tuple[str, ...]] = ("train", "val", "test")

    def __init__(
        self,
        root: Path,
        split: str,
        size: tuple[int, int] | None = None,
        count: int | None = None,
    ) -> None:
        """Use the first `count` samples (default: all) at (height, width) `size`.

        Raises `DataError` for a folder that is not this data set's, `InputError` for a bad split.
        """
        if split not in self.split_names:
            raise InputError(
                f"no split {split!r} of {self.name}; splits: {', '.join(self.split_names)}"
            )
        self.root = root
        self.split = split
        self.size = size or self.native_size
        if min(self.size) < SMALLEST_PX:
            raise ValueError(
                f"pictures are fitted to {SMALLEST_PX} x {SMALLEST_PX} pixels up, got {size}"
            )
        if not root.is_dir():
            raise DataError(f"{root}: no such folder; expected {self.layout()}")
        found = sorted(self._list(split))
        if not found:
            raise DataError(f"{root}: no sample of the split {split!r}; expected {self.layout()}")
        order = np.random.default_rng(ORDER_SEED).permutation(len(found))
        self._total = len(found)
        self._samples = [found[i] for i in order[: count or None]]

    @classmethod
    @abstractmethod
    def layout(cls) -> str:
        """How the folder should look, for messages."""

    @abstractmethod
    def _list(self, split: str) -> Sequence[str]:
        """Samples of a split, each named by a path under the root."""

    @abstractmethod
    def _read(self, sample: str) -> Sample:
        """The sample of that name."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the data set's tasks."""
        return tasks_of(self.name)

    @property
    def splits(self) -> Mapping[str, int]:
        """Number of samples of the split this is opened for."""
        return {self.split: self._total}

    @property
    def key(self) -> str:
        """Split and a digest of the folder, the samples, their pictures' dates, and the size."""
        digest = hashlib.sha256(f"{self.root.resolve()} {self.size}".encode())
        for sample in self._samples:
            path = self.root / sample
            date = path.stat().st_mtime_ns if path.is_file() else 0
            digest.update(f"{sample} {date}\n".encode())
        for source in sorted(Path(__file__).parent.glob("*.py")):
            digest.update(source.read_bytes())
        return f"{self.split}-{digest.hexdigest()[:16]}"

    def __len__(self) -> int:
        return len(self._samples)

    def sample(self, index: int) -> Sample:
        """Sample `index`. Raises `IndexError` outside 0 .. len - 1, `DataError` for its files."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} {self.split} has samples 0 to {len(self) - 1}")
        return self._read(self._samples[index])


def share_of(name: str) -> float:
    """A number in [0, 1) by which a sample without an official split is dealt to one."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) / 2**32
