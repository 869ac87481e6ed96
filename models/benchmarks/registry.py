"""The benchmarks by name: procedural ones, and public data sets read from disk (no torch)."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from cluster.errors import InputError, UnknownNameError
from models.benchmarks.domains import Domains
from models.benchmarks.real import (
    Cityscapes3D,
    DomainNet,
    OfficeHome,
    Pacs,
    StoredBenchmark,
    Taskonomy,
)
from models.benchmarks.rooms import Rooms
from models.benchmarks.splits.interface import Benchmark
from models.benchmarks.splits.procedural import ProceduralBenchmark
from models.benchmarks.streets import Streets

__all__ = ["BENCHMARKS", "DATA_VARIABLE", "ON_DISK", "open_benchmark"]

DATA_VARIABLE = "J3O_DATA"

BENCHMARKS: dict[str, type[ProceduralBenchmark]] = {
    benchmark.name: benchmark for benchmark in (Rooms, Domains, Streets)
}


ON_DISK: dict[str, type[StoredBenchmark]] = {
    benchmark.name: benchmark
    for benchmark in (Taskonomy, DomainNet, Pacs, OfficeHome, Cityscapes3D)
}


def open_benchmark(
    name: str,
    split: str,
    size: tuple[int, int] | None = None,
    count: int | None = None,
    data: Path | None = None,
) -> Benchmark:
    """A split of the benchmark called `name`, one of `BENCHMARKS` or `ON_DISK`.

    `data` is the folder of a data set on disk; without it, the folder `name` in the one that the
    variable `J3O_DATA` names. Raises `UnknownNameError` listing near or all names, `InputError`
    without a folder, `DataError` for one that is not laid out as published.
    """
    if name in BENCHMARKS:
        return BENCHMARKS[name](split, size, count)
    if name not in ON_DISK:
        known = [*BENCHMARKS, *ON_DISK]
        near = difflib.get_close_matches(name, known, n=3) or known
        raise UnknownNameError(f"no benchmark {name!r}; benchmarks: {', '.join(near)}")
    above = os.environ.get(DATA_VARIABLE)
    if data is None and not above:
        raise InputError(
            f"{name} is read from disk: give its folder with --data, or set {DATA_VARIABLE} to the "
            f"folder that holds a folder {name}"
        )
    return ON_DISK[name](data or Path(above or "") / name, split, size, count)
