"""Rendered splits on disk: one memory-mapped array per field, made in parallel, made once.

The folder is `$XDG_CACHE_HOME/j3o-testbed/<benchmark>/<key>` (default `~/.cache`). The key holds
a digest of everything that decides the samples, so a changed renderer never reads old data.
Axes: `n` samples, `t` tasks, `h` rows, `w` columns, `3` colours.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from models.benchmarks.splits.interface import Benchmark
from models.tasks import find_task

__all__ = ["RenderedSplit", "cache_folder", "rendered_split"]

CHUNK = 50
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class RenderedSplit:
    """Arrays of a whole split, first axis the sample: `image_nhw3` uint8 and labels by task.

    `rows[task]` are the samples that carry a label of the task, ascending; the other rows of
    `labels[task]` are zero.
    """

    image_nhw3: np.ndarray
    labels: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.image_nhw3)


def cache_folder(benchmark: str) -> Path:
    """Where rendered data of a benchmark may be kept and deleted at any time."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "j3o-testbed" / benchmark


def rendered_split(
    benchmark: Benchmark,
    *,
    workers: int = 1,
    on_progress: Progress | None = None,
    folder: Path | None = None,
) -> RenderedSplit:
    """All samples of `benchmark`, from the cache or put into it by `workers` processes.

    `on_progress(done, total)` is called as chunks finish. Two processes that render the same
    split at once both succeed; the first to finish keeps its folder.
    """
    target = (folder or cache_folder(benchmark.name)) / benchmark.key
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=target.parent, prefix=".building-"))
        try:
            _render(benchmark, building, workers, on_progress)
            _publish(building, target)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    arrays = {
        name: np.load(target / f"{name}.npy", mmap_mode="r")
        for name in ("image", LABELLED, *benchmark.tasks)
    }
    rows = {
        task: np.flatnonzero(arrays[LABELLED][:, place])
        for place, task in enumerate(benchmark.tasks)
    }
    return RenderedSplit(arrays["image"], {task: arrays[task] for task in benchmark.tasks}, rows)


LABELLED = "labelled"  # (n, t) bool: which samples carry which task


def _render(benchmark: Benchmark, folder: Path, workers: int, on_progress: Progress | None) -> None:
    total = len(benchmark)
    height, width = benchmark.size
    forms: dict[str, tuple[str, tuple[int, ...]]] = {
        "image": ("uint8", (height, width, 3)),
        LABELLED: ("bool", (len(benchmark.tasks),)),
    }
    for name in benchmark.tasks:
        task = find_task(name)
        forms[name] = (task.answer_dtype, task.answer_shape(height, width))
    fields: dict[str, Any] = {
        name: np.lib.format.open_memmap(
            folder / f"{name}.npy", "w+", np.dtype(dtype), (total, *shape)
        )
        for name, (dtype, shape) in forms.items()
    }
    starts = range(0, total, CHUNK)
    chunk = partial(_chunk, benchmark)
    if workers > 1:
        # Forking a process that has started torch threads can hang; spawned ones are clean.
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            _store(fields, starts, pool.map(chunk, starts), total, on_progress)
    else:
        _store(fields, starts, map(chunk, starts), total, on_progress)
    for array in fields.values():
        array.flush()


def _store(
    fields: dict[str, np.ndarray],
    starts: Iterable[int],
    chunks: Iterable[dict[str, np.ndarray]],
    total: int,
    on_progress: Progress | None,
) -> None:
    for start, rendered in zip(starts, chunks, strict=True):
        for name, values in rendered.items():
            fields[name][start : start + len(values)] = values
        if on_progress is not None:
            on_progress(min(start + CHUNK, total), total)


def _chunk(benchmark: Benchmark, start: int) -> dict[str, np.ndarray]:
    stop = min(start + CHUNK, len(benchmark))
    samples = [benchmark.sample(index) for index in range(start, stop)]
    stacked = {"image": np.stack([sample.image for sample in samples])}
    stacked[LABELLED] = np.array([[t in s.labels for t in benchmark.tasks] for s in samples])
    for name in benchmark.tasks:
        task = find_task(name)
        none = np.zeros(task.answer_shape(*benchmark.size), task.answer_dtype)
        stacked[name] = np.stack([sample.labels.get(name, none) for sample in samples])
    return stacked


def _publish(building: Path, target: Path) -> None:
    try:
        building.rename(target)
    except OSError:
        if not target.is_dir():
            raise
