"""Tasks of the public data sets that are read from disk; names start with the data set's.

Their labels have holes. A pixel without a label is 255 among classes, 0 metres in a depth map and a
vector of length 0, and neither scores nor trains.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable

import numpy as np

from models.tasks.box_score import detection_score
from models.tasks.class_lists import (
    CITYSCAPES_IDS,
    DOMAINNET_CLASSES,
    OFFICE_HOME_CLASSES,
    PACS_CLASSES,
    TASKONOMY_CLASSES,
)
from models.tasks.metrics import (
    corner_f1,
    depth_within_ratio,
    edge_f1,
    mean_iou,
    normals_within_angle,
    same_class,
)
from models.tasks.paint import (
    paint_boxes,
    paint_category,
    paint_chances,
    paint_classes,
    paint_metres,
    paint_normals,
)
from models.tasks.task import Kind, Task

__all__ = ["DOMAIN_FOLDERS", "ON_DISK_TASKS", "UNLABELLED", "is_labelled"]

UNLABELLED = 255
"""class id of a pixel without a label"""
INDOOR_FAR_M, STREET_FAR_M = 8.0, 80.0
CITYSCAPES_FIELD_OF_VIEW = 2 * math.atan(1024 / 2262.52)
"""of 2048 pixels at the focal length that nearly all its cameras have"""

DOMAIN_FOLDERS: dict[str, dict[str, str]] = {
    "domainnet": {
        f"domainnet-{domain}": domain
        for domain in ("real", "painting", "clipart", "sketch", "quickdraw", "infograph")
    },
    "pacs": {
        f"pacs-{domain.replace('_', '-')}": domain
        for domain in ("photo", "art_painting", "cartoon", "sketch")
    },
    "office-home": {
        "office-home-real": "Real World",
        "office-home-product": "Product",
        "office-home-clipart": "Clipart",
        "office-home-art": "Art",
    },
}
"""by data set, the folder of each task's domain"""

_CLASSES = {
    "domainnet": DOMAINNET_CLASSES,
    "pacs": PACS_CLASSES,
    "office-home": OFFICE_HOME_CLASSES,
}


def is_labelled(kind: Kind, label: np.ndarray) -> np.ndarray:
    """(h, w) bool: which pixels of a dense label carry one."""
    if kind is Kind.CLASSES:
        labelled: np.ndarray = label != UNLABELLED
    elif kind is Kind.METRES:
        labelled = label > 0
    elif kind is Kind.VECTORS:
        labelled = np.any(label != 0, axis=-1)
    else:
        labelled = np.ones(label.shape[:2], bool)
    return labelled


def _where_labelled(
    kind: Kind, score: Callable[[np.ndarray, np.ndarray], float]
) -> Callable[[np.ndarray, np.ndarray], float]:
    """`score` over the labelled pixels, handed to it as one row."""

    def scored(answer: np.ndarray, label: np.ndarray) -> float:
        chosen = is_labelled(kind, label)
        return score(answer[chosen][None], label[chosen][None])

    return scored


def _palette(classes: int) -> np.ndarray:
    """(256, 3) colours, hues a golden ratio apart; what has no label is black."""
    palette = np.zeros((256, 3), np.uint8)
    for k in range(classes):
        colour = colorsys.hsv_to_rgb(0.618034 * k % 1, 0.45 + 0.2 * (k % 3), 0.9 - 0.15 * (k % 2))
        palette[k] = [round(255 * part) for part in colour]
    return palette


def _category(name: str, benchmark: str) -> Task:
    classes = _CLASSES[benchmark]
    return Task(
        name, benchmark, Kind.CATEGORY, "probability of each class",
        "1 if the most probable class is the true one, else 0",
        same_class, paint_category(classes), classes,
    )  # fmt: skip


def _segmentation(benchmark: str, classes: tuple[str, ...]) -> Task:
    return Task(
        f"{benchmark}-segmentation", benchmark, Kind.CLASSES, "class id",
        "mean intersection over union of the classes that the label shows",
        _where_labelled(Kind.CLASSES, mean_iou), paint_classes(_palette(len(classes))), classes,
    )  # fmt: skip


def _depth(benchmark: str, far_m: float) -> Task:
    return Task(
        f"{benchmark}-depth", benchmark, Kind.METRES, "metres along the optical axis",
        "share of pixels with max(answer/label, label/answer) < 1.1",
        _where_labelled(Kind.METRES, depth_within_ratio), paint_metres(far_m),
    )  # fmt: skip


ON_DISK_TASKS: tuple[Task, ...] = (
    _segmentation("taskonomy", TASKONOMY_CLASSES),
    _depth("taskonomy", INDOOR_FAR_M),
    Task(
        "taskonomy-normals", "taskonomy", Kind.VECTORS,
        "127 x unit vector in camera axes right, down, forward",
        "share of pixels whose normal is off by less than 11.25 degrees",
        _where_labelled(Kind.VECTORS, normals_within_angle), paint_normals,
    ),
    Task(
        "taskonomy-keypoints", "taskonomy", Kind.CHANCES, "255 x heat of a 2D keypoint",
        "F1 of peaks above 0.3 matched one to one with the true ones within 2 pixels",
        corner_f1, paint_chances,
    ),
    Task(
        "taskonomy-edges", "taskonomy", Kind.CHANCES, "255 x strength of a texture edge",
        "F1 of pixels above 0.5 with a tolerance of 1 pixel",
        edge_f1, paint_chances,
    ),
    *(_category(name, benchmark) for benchmark, of in DOMAIN_FOLDERS.items() for name in of),
    _segmentation("cityscapes3d", tuple(CITYSCAPES_IDS)),
    _depth("cityscapes3d", STREET_FAR_M),
    Task(
        "cityscapes3d-boxes", "cityscapes3d", Kind.BOXES,
        "rows of confidence, centre right, down, forward [m], length, width, height [m], heading",
        "average precision times the matched boxes' mean likeness in place, size and heading",
        detection_score, paint_boxes(STREET_FAR_M), field_of_view=CITYSCAPES_FIELD_OF_VIEW,
    ),
)  # fmt: skip
