"""Batch times of networks on GPUs as NVIDIA published them: 916 of them, to hold laws against.

`published/gpu_batches.csv` names the page of every figure. Here they stand by series: one network
on one board with one precision, by batch size.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import geometric_mean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from profiling.published import FOLDER

__all__ = ["BatchSeries", "SeriesName", "left_out_by_neighbours", "published_series", "scaled"]

FEWEST = 2
"""other networks whose ratio says what one takes on a board"""


class SeriesName(NamedTuple):
    """What a series is of."""

    framework: str
    network: str
    board: str
    precision: str
    variant: str
    """size of the pictures and compiler, where the page has several"""


@dataclass(frozen=True, eq=False)
class BatchSeries:
    """What batches of rising size took."""

    name: SeriesName
    size_b: NDArray[np.int64]
    latency_s_b: NDArray[np.float64]

    def at(self, size: int) -> float | None:
        """What a batch of that size took, if it was published."""
        found = np.flatnonzero(self.size_b == size)
        return float(self.latency_s_b[found[0]]) if len(found) else None


@lru_cache(maxsize=1)
def published_series() -> Mapping[SeriesName, BatchSeries]:
    """Every series, in the order of the file."""
    return read_series(FOLDER / "gpu_batches.csv")


def read_series(path: Path) -> Mapping[SeriesName, BatchSeries]:
    """The series of such a file, whose comments begin with #."""
    times_s: dict[SeriesName, dict[int, float]] = {}
    with path.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(line for line in stream if not line.startswith("#")):
            name = SeriesName(*(row[field] for field in SeriesName._fields))
            times_s.setdefault(name, {})[int(row["batch"])] = float(row["latency_s"])
    return {
        name: BatchSeries(name, np.array(sorted(of)), np.array([of[size] for size in sorted(of)]))
        for name, of in times_s.items()
    }


def left_out_by_neighbours(series: BatchSeries) -> NDArray[np.float64]:
    """What each size would take on the line between its neighbours (b); no number at both ends.

    So far off is a curve (F15) at sizes between those that were measured, or less: it had to bridge
    twice the distance.
    """
    size_b, latency_s_b = series.size_b, series.latency_s_b
    found_b = np.full(len(size_b), np.nan)
    for place in range(1, len(size_b) - 1):
        ends = [place - 1, place + 1]
        found_b[place] = np.interp(size_b[place], size_b[ends], latency_s_b[ends])
    return found_b


def scaled(name: SeriesName, board: str, size: int) -> float | None:
    """What a batch of a network would take on its board, judged by another `board` and by the other
    networks on both: its time there x the geometric mean of their ratios, as an emulated device is
    scaled (`profiling.device_ratio`). None where that batch of fewer than `FEWEST` was published.
    """
    every = published_series()
    here = every.get(name._replace(board=board))
    there_s = None if here is None else here.at(size)
    if there_s is None:
        return None
    ratios = [mine_s / other_s for mine_s, other_s in _on_both(every, name, board, size)]
    return there_s * geometric_mean(ratios) if len(ratios) >= FEWEST else None


def _on_both(
    every: Mapping[SeriesName, BatchSeries], name: SeriesName, board: str, size: int
) -> Sequence[tuple[float, float]]:
    """What a batch of each other network takes on the board of `name`, and on `board`."""
    found = []
    for other, series in every.items():
        alike = (other.framework, other.board, other.precision) == (
            name.framework, name.board, name.precision,
        )  # fmt: skip
        twin = every.get(other._replace(board=board))
        if not alike or other.network == name.network or twin is None:
            continue
        mine_s, other_s = series.at(size), twin.at(size)
        if mine_s is not None and other_s is not None:
            found.append((mine_s, other_s))
    return found
