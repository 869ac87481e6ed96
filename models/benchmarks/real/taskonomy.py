"""Taskonomy, or one of its buildings, in the layout it is published in.

    root/rgb/BUILDING/point_P_view_V_domain_rgb.png            (or root/rgb/taskonomy/BUILDING/...)
    root/depth_zbuffer/...     16 bits, 1/512 m, 65535 where there is none
    root/normal/...            RGB, (v - 127.5) / 127.5: right, down, towards the camera; 128 three
                               times where there is none
    root/segment_semantic/...  8 bits, 0 uncertain, 1 background, 2 .. 17 the classes;
                               files end in _domain_segmentsemantic.png
    root/keypoints2d/...       16 bits, full scale at `KEYPOINT_FULL` of the range
    root/edge_texture/...      16 bits, full scale at `EDGE_FULL` of the range

A task whose folder is missing has no labels. Splits go by building: by the official
root/train_val_test_SUBSET.csv (columns id, train, val, test of 0 or 1) if it is there; otherwise
buildings are dealt by name, 80, 10 and 10 %, or views where there are fewer than three buildings.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from models.benchmarks.real.files import read_levels, read_picture
from models.benchmarks.real.stored import DataError, StoredBenchmark, share_of
from models.benchmarks.splits.interface import Sample
from models.tasks import find_task
from models.tasks.class_lists import TASKONOMY_CLASSES
from models.tasks.on_disk import UNLABELLED, is_labelled

__all__ = ["Taskonomy"]

UNITS_PER_M = 512
NO_DEPTH = 65_535
EDGE_FULL, KEYPOINT_FULL = 0.25, 0.025
"""share of the 16-bit range beyond which a value counts as certain"""
PICTURE_END = "_domain_rgb.png"
SPLIT_EDGES = {"train": (0.2, 1.0), "val": (0.1, 0.2), "test": (0.0, 0.1)}


class Taskonomy(StoredBenchmark):
    """Taskonomy, as it is published: a folder a task, and in it one a building."""

    name = "taskonomy"
    native_size = (96, 96)

    @classmethod
    def layout(cls) -> str:
        """See `StoredBenchmark`."""
        return f"TASK/BUILDING/point_P_view_V_domain_TASK.png, TASK one of rgb, {', '.join(_TASKS)}"

    def _list(self, split: str) -> Sequence[str]:
        top = _inner(self.root / "rgb")
        if not top.is_dir():
            raise DataError(f"{self.root / 'rgb'}: no such folder; expected {self.layout()}")
        buildings = sorted(path.name for path in top.iterdir() if path.is_dir())
        official = self._official_buildings(split)
        low, high = SPLIT_EDGES[split]
        by_view = official is None and len(buildings) < 3
        if official is not None:
            buildings = [name for name in buildings if name in official]
        elif not by_view:
            buildings = _deal(buildings)[split]
        return [
            f"{building}/{path.name.removesuffix(PICTURE_END)}"
            for building in buildings
            for path in (top / building).iterdir()
            if path.name.endswith(PICTURE_END)
            and (not by_view or low <= share_of(path.name) < high)
        ]

    def _official_buildings(self, split: str) -> set[str] | None:
        for path in sorted(self.root.glob("train_val_test_*.csv")):
            with path.open(encoding="utf-8", newline="") as stream:
                rows = list(csv.DictReader(stream))
            if not rows or not {"id", split} <= set(rows[0]):
                raise DataError(f"{path}: expected the columns id, train, val and test")
            return {row["id"] for row in rows if row[split] == "1"}
        return None

    def _read(self, sample: str) -> Sample:
        building, view = sample.split("/")
        top = _inner(self.root / "rgb")
        image = read_picture(top / building / f"{view}{PICTURE_END}", self.size)
        labels = {}
        for folder, (task, ending, mode, decode) in _TASKS.items():
            inner = _inner(self.root / folder)
            if not inner.is_dir():
                continue
            path = inner / building / f"{view}_domain_{ending}.png"
            label = decode(read_levels(path, mode, self.size), path)
            if is_labelled(find_task(task).kind, label).any():
                labels[task] = label
        return Sample(image, labels)


def _inner(folder: Path) -> Path:
    """The published tool puts a folder `taskonomy` between task and building."""
    return folder / "taskonomy" if (folder / "taskonomy").is_dir() else folder


def _deal(buildings: Sequence[str]) -> dict[str, list[str]]:
    """Buildings of each split, at least one each."""
    ordered = sorted(buildings, key=share_of)
    held = max(1, round(0.1 * len(ordered)))
    return {"test": ordered[:held], "val": ordered[held : 2 * held], "train": ordered[2 * held :]}


def _classes(stored_hw: np.ndarray, path: Path) -> np.ndarray:
    if stored_hw.max() > len(TASKONOMY_CLASSES):
        raise DataError(
            f"{path}: class {stored_hw.max()}; expected 0 (uncertain) to {len(TASKONOMY_CLASSES)}"
        )
    return np.where(stored_hw == 0, UNLABELLED, stored_hw - 1).astype(np.uint8)


def _metres(stored_hw: np.ndarray, path: Path) -> np.ndarray:
    stored = stored_hw.astype(np.float32)
    return np.where(stored == NO_DEPTH, 0, stored / UNITS_PER_M).astype(np.float16)


def _normals(stored_hw3: np.ndarray, path: Path) -> np.ndarray:
    vector = (stored_hw3.astype(np.float32) - 127.5) / 127.5
    vector[..., 2] *= -1  # stored towards the camera, ours forward
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    # Neutral grey stands where the mesh has a hole; a surface's vector is about 1 long.
    unit = np.where(length > 0.5, vector / np.maximum(length, 1e-6), 0)
    return np.round(127 * unit).astype(np.int8)


def _chances(full: float) -> Callable[[np.ndarray, Path], np.ndarray]:
    def decode(stored_hw: np.ndarray, path: Path) -> np.ndarray:
        share = stored_hw.astype(np.float32) / (full * 65_535)
        level: np.ndarray = np.round(255 * np.minimum(share, 1))
        return level.astype(np.uint8)

    return decode


Decode = Callable[[np.ndarray, Path], np.ndarray]
_TASKS: dict[str, tuple[str, str, str, Decode]] = {
    "segment_semantic": ("taskonomy-segmentation", "segmentsemantic", "L", _classes),
    "depth_zbuffer": ("taskonomy-depth", "depth_zbuffer", "I;16", _metres),
    "normal": ("taskonomy-normals", "normal", "RGB", _normals),
    "keypoints2d": ("taskonomy-keypoints", "keypoints2d", "I;16", _chances(KEYPOINT_FULL)),
    "edge_texture": ("taskonomy-edges", "edge_texture", "I;16", _chances(EDGE_FULL)),
}
"""folder -> task, end of its files' names, form, decoder"""
