"""The three tasks of `streets`, after Cityscapes and Cityscapes 3D."""

from __future__ import annotations

import numpy as np

from models.tasks.box_score import detection_score
from models.tasks.metrics import depth_within_ratio, mean_iou
from models.tasks.paint import paint_boxes, paint_classes, paint_metres
from models.tasks.task import Kind, Task

__all__ = ["STREETS_CLASSES", "STREETS_FIELD_OF_VIEW", "STREETS_TASKS"]

STREETS_CLASSES = (
    "sky", "ground", "road", "pavement", "building", "vegetation", "pole", "person", "vehicle",
)  # fmt: skip
STREETS_FIELD_OF_VIEW = float(np.radians(75.0))
"""across the picture's width; what turns a pixel and a depth into metres"""

_PALETTE = np.array(
    [
        [70, 130, 180], [152, 251, 152], [128, 64, 128], [244, 35, 232], [70, 70, 70],
        [107, 142, 35], [153, 153, 153], [220, 20, 60], [0, 0, 142],
    ],
    np.uint8,
)  # fmt: skip
_FAR_M = 50.0

STREETS_TASKS = (
    Task(
        "streets-segmentation", "streets", Kind.CLASSES, "class id",
        "mean intersection over union of the classes that the label shows",
        mean_iou, paint_classes(_PALETTE), STREETS_CLASSES,
    ),
    Task(
        "streets-depth", "streets", Kind.METRES, "metres along the optical axis, 0 for sky",
        "share of the pixels that are no sky with max(answer/label, label/answer) < 1.1",
        depth_within_ratio, paint_metres(_FAR_M),
    ),
    Task(
        "streets-boxes", "streets", Kind.BOXES,
        "rows of confidence, centre right, down, forward [m], length, width, height [m], heading",
        "average precision times the matched boxes' mean likeness in place, size and heading",
        detection_score, paint_boxes(_FAR_M), field_of_view=STREETS_FIELD_OF_VIEW,
    ),
)  # fmt: skip
