"""Rendered splits on disk: one memory-mapped array per field, made in parallel, made once.

The folder is `$XDG_CACHE_HOME/j3o-testbed/rooms/<key>` (default `~/.cache`). The key is a digest
of the renderer's source, the split, size and count, so a changed renderer never reads old data.
"""

from __future__ import annotations

import hashlib
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

from models.benchmarks import rooms as rooms_package
from models.benchmarks.rooms import DATA_SEED, Rooms
from models.tasks import TASKS

__all__ = ["RenderedSplit", "cache_folder", "rendered_split"]

CHUNK = 50
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class RenderedSplit:
    """Arrays of a whole split, first axis the sample: `image_nhw3` uint8 and labels by task."""

    image_nhw3: np.ndarray
    labels: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.image_nhw3)


def cache_folder() -> Path:
    """Where rendered data may be kept and deleted at any time."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "j3o-testbed" / "rooms"


def rendered_split(
    rooms: Rooms,
    *,
    workers: int = 1,
    on_progress: Progress | None = None,
    folder: Path | None = None,
) -> RenderedSplit:
    """All samples of `rooms`, from the cache or rendered into it by `workers` processes.

    `on_progress(done, total)` is called as chunks finish. Two processes that render the same
    split at once both succeed; the first to finish keeps its folder.
    """
    target = (folder or cache_folder()) / _key(rooms)
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=target.parent, prefix=".building-"))
        try:
            _render(rooms, building, workers, on_progress)
            _publish(building, target)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    labels = {name: np.load(target / f"{name}.npy", mmap_mode="r") for name in TASKS}
    return RenderedSplit(np.load(target / "image.npy", mmap_mode="r"), labels)


def _render(rooms: Rooms, folder: Path, workers: int, on_progress: Progress | None) -> None:
    total = len(rooms)
    height, width = rooms.size
    fields: dict[str, Any] = {"image": np.lib.format.open_memmap(
        folder / "image.npy", "w+", np.uint8, (total, height, width, 3)
    )}  # fmt: skip
    for name, task in TASKS.items():
        fields[name] = np.lib.format.open_memmap(
            folder / f"{name}.npy", "w+", np.dtype(task.answer_dtype),
            (total, *task.answer_shape(height, width)),
        )  # fmt: skip
    starts = range(0, total, CHUNK)
    chunk = partial(_chunk, rooms)
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


def _chunk(rooms: Rooms, start: int) -> dict[str, np.ndarray]:
    samples = [rooms.sample(index) for index in range(start, min(start + CHUNK, len(rooms)))]
    stacked = {name: np.stack([s.labels[name] for s in samples]) for name in TASKS}
    stacked["image"] = np.stack([sample.image for sample in samples])
    return stacked


def _publish(building: Path, target: Path) -> None:
    try:
        building.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _key(rooms: Rooms) -> str:
    digest = hashlib.sha256(f"{DATA_SEED} {rooms.split} {rooms.size} {len(rooms)}".encode())
    for source in sorted(Path(rooms_package.__file__).parent.glob("*.py")):
        if source.name != "gallery.py":
            digest.update(source.read_bytes())
    return f"{rooms.split}-{digest.hexdigest()[:16]}"
