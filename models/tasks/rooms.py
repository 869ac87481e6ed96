"""The five dense tasks of `rooms`, after Taskonomy's."""

from __future__ import annotations

import numpy as np

from models.tasks.metrics import (
    corner_f1,
    depth_within_ratio,
    edge_f1,
    mean_iou,
    normals_within_angle,
)
from models.tasks.paint import paint_chances, paint_classes, paint_metres, paint_normals
from models.tasks.task import Kind, Task

__all__ = ["ROOMS_TASKS", "SEGMENTATION_CLASSES"]

SEGMENTATION_CLASSES = (
    "wall", "floor", "ceiling", "window", "door", "rug",
    "cabinet", "table", "seat", "lamp", "ball", "cylinder",
)  # fmt: skip

_PALETTE = np.array(
    [
        [188, 189, 194], [140, 109, 82], [232, 232, 226], [108, 190, 235], [150, 84, 40],
        [214, 96, 120], [44, 120, 115], [222, 158, 54], [92, 84, 178], [250, 226, 92],
        [206, 60, 48], [110, 168, 70],
    ],
    np.uint8,
)  # fmt: skip
_FAR_M = 8.0

ROOMS_TASKS = (
    Task(
        "segmentation", "rooms", Kind.CLASSES, "class id",
        "mean intersection over union of the classes that the label shows",
        mean_iou, paint_classes(_PALETTE), SEGMENTATION_CLASSES,
    ),
    Task(
        "depth", "rooms", Kind.METRES, "metres along the optical axis",
        "share of pixels with max(answer/label, label/answer) < 1.1",
        depth_within_ratio, paint_metres(_FAR_M),
    ),
    Task(
        "normals", "rooms", Kind.VECTORS,
        "127 x unit vector in camera axes right, down, forward",
        "share of pixels whose normal is off by less than 11.25 degrees",
        normals_within_angle, paint_normals,
    ),
    Task(
        "keypoints", "rooms", Kind.CHANCES, "255 x heat of a visible corner",
        "F1 of peaks above 0.3 matched one to one with the true corners within 2 pixels",
        corner_f1, paint_chances,
    ),
    Task(
        "edges", "rooms", Kind.CHANCES, "255 x probability of a geometric edge",
        "F1 of pixels above 0.5 with a tolerance of 1 pixel",
        edge_f1, paint_chances,
    ),
)  # fmt: skip
