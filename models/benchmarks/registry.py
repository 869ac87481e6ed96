"""The procedural benchmarks by name (no torch)."""

from __future__ import annotations

import difflib

from models.benchmarks.domains import Domains
from models.benchmarks.procedural import ProceduralBenchmark
from models.benchmarks.rooms import Rooms

__all__ = ["BENCHMARKS", "open_benchmark"]

BENCHMARKS: dict[str, type[ProceduralBenchmark]] = {
    benchmark.name: benchmark for benchmark in (Rooms, Domains)
}


def open_benchmark(
    name: str, split: str, size: tuple[int, int] | None = None, count: int | None = None
) -> ProceduralBenchmark:
    """A split of the benchmark called `name`. Raises `KeyError` listing near or all names."""
    if name not in BENCHMARKS:
        near = difflib.get_close_matches(name, BENCHMARKS, n=3) or list(BENCHMARKS)
        raise KeyError(f"no benchmark {name!r}; benchmarks: {', '.join(near)}")
    return BENCHMARKS[name](split, size, count)
