"""The five dense tasks: how an answer is encoded, scored against its label, and drawn.

An answer is what serving returns for one image, a small integer or half-precision array; a label
has the same form. Scores lie in [0, 1] per image and higher is better. No torch here.
Axes: `h` rows, `w` columns, last axis `3` vector components or colours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.metrics import (
    corner_f1,
    depth_within_ratio,
    edge_f1,
    mean_iou,
    normals_within_angle,
)

__all__ = ["SEGMENTATION_CLASSES", "TASKS", "Task", "find_task"]

SEGMENTATION_CLASSES = (
    "wall", "floor", "ceiling", "window", "door", "rug",
    "cabinet", "table", "seat", "lamp", "ball", "cylinder",
)  # fmt: skip

PALETTE = np.array(
    [
        [188, 189, 194], [140, 109, 82], [232, 232, 226], [108, 190, 235], [150, 84, 40],
        [214, 96, 120], [44, 120, 115], [222, 158, 54], [92, 84, 178], [250, 226, 92],
        [206, 60, 48], [110, 168, 70],
    ],
    np.uint8,
)  # fmt: skip
FAR_M = 8.0


@dataclass(frozen=True)
class Task:
    """One dense task. `channels` is the width of the network's head, not of the answer."""

    name: str
    unit: str
    metric: str
    answer_dtype: str
    answer_channels: int
    channels: int
    score: Callable[[np.ndarray, np.ndarray], float]
    render: Callable[[np.ndarray], np.ndarray]

    def answer_shape(self, height: int, width: int) -> tuple[int, ...]:
        """Shape of one image's answer."""
        flat = (height, width)
        return flat if self.answer_channels == 1 else (*flat, self.answer_channels)

    def answer_bytes(self, height: int, width: int) -> int:
        """Size d_t of one image's answer on the wire."""
        return height * width * self.answer_channels * np.dtype(self.answer_dtype).itemsize


def find_task(name: str) -> Task:
    """The task called `name`. Raises `KeyError` listing the valid names."""
    if name not in TASKS:
        raise KeyError(f"no task {name!r}; tasks: {', '.join(TASKS)}")
    return TASKS[name]


def _paint_classes(array: np.ndarray) -> np.ndarray:
    return PALETTE[array]


def _paint_depth(array: np.ndarray) -> np.ndarray:
    """Near is warm, far is dark blue."""
    near = 1 - np.clip(array.astype(np.float32) / FAR_M, 0, 1)
    stops = np.array([[18, 22, 70], [44, 110, 160], [150, 200, 140], [250, 220, 110]], np.float32)
    place = near * (len(stops) - 1)
    low = np.minimum(place.astype(int), len(stops) - 2)
    part = (place - low)[..., None]
    return (stops[low] * (1 - part) + stops[low + 1] * part).astype(np.uint8)


def _paint_normals(array: np.ndarray) -> np.ndarray:
    """The usual colours: right is red, up is green, towards the camera is blue."""
    signed = array.astype(np.int16) * np.array([1, -1, -1], np.int16)
    return np.clip(signed + 128, 0, 255).astype(np.uint8)


def _paint_map(array: np.ndarray) -> np.ndarray:
    return np.repeat(array[..., None].astype(np.uint8), 3, axis=2)


_ALL = (
    Task(
        "segmentation", "class id",
        "mean intersection over union of the classes that the label shows",
        "uint8", 1, len(SEGMENTATION_CLASSES), mean_iou, _paint_classes,
    ),
    Task(
        "depth", "metres along the optical axis",
        "share of pixels with max(answer/label, label/answer) < 1.1",
        "float16", 1, 1, depth_within_ratio, _paint_depth,
    ),
    Task(
        "normals", "127 x unit vector in camera axes right, down, forward",
        "share of pixels whose normal is off by less than 11.25 degrees",
        "int8", 3, 3, normals_within_angle, _paint_normals,
    ),
    Task(
        "keypoints", "255 x heat of a visible corner",
        "F1 of peaks above 0.3 matched one to one with the true corners within 2 pixels",
        "uint8", 1, 1, corner_f1, _paint_map,
    ),
    Task(
        "edges", "255 x probability of a geometric edge",
        "F1 of pixels above 0.5 with a tolerance of 1 pixel",
        "uint8", 1, 1, edge_f1, _paint_map,
    ),
)  # fmt: skip

TASKS: dict[str, Task] = {task.name: task for task in _ALL}
