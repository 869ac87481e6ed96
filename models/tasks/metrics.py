"""Per-image scores in [0, 1] of the tasks, higher is better (numpy only).

Axes: `h` rows, `w` columns, `n` points. Answers and labels are in the encoding of `models.tasks`.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "class_iou",
    "confusion",
    "corner_f1",
    "corners",
    "depth_within_ratio",
    "edge_f1",
    "mean_iou",
    "normals_within_angle",
    "same_class",
]

DEPTH_RATIO = 1.1
NORMAL_ANGLE_DEGREES = 11.25
EDGE_LEVEL = 128
PEAK_LEVEL = 77  # 0.3 of 255
MATCH_RADIUS_PX = 2.0
CLASS_LIMIT = 256


def mean_iou(answer: np.ndarray, label: np.ndarray) -> float:
    """Intersection over union, averaged over the classes present in the label; (h, w) ids."""
    pairs = confusion(answer, label, CLASS_LIMIT)
    return float(class_iou(pairs)[pairs.sum(axis=1) > 0].mean())


def confusion(answer: np.ndarray, label: np.ndarray, classes: int) -> np.ndarray:
    """(k, k) pixels by true and answered class; (h, w) ids below `classes`."""
    answer, label = _same_shape(answer, label)
    pairs = label.ravel().astype(np.int64) * classes + answer.ravel()
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def class_iou(pairs_kk: np.ndarray) -> np.ndarray:
    """(k,) intersection over union of a confusion; 0 for a class that neither side has."""
    common = np.diagonal(pairs_kk)
    either = pairs_kk.sum(axis=1) + pairs_kk.sum(axis=0) - common
    iou_k: np.ndarray = common / np.maximum(either, 1)
    return iou_k


def depth_within_ratio(answer: np.ndarray, label: np.ndarray) -> float:
    """Share of pixels with max(a/b, b/a) < 1.1; (h, w) metres, label 0 where there is no truth.

    Without any truth the score is 1.
    """
    answer, label = _same_shape(answer, label)
    known = label > 0
    if not known.any():
        return 1.0
    said, true = answer[known].astype(np.float32), label[known].astype(np.float32)
    good = (said < DEPTH_RATIO * true) & (true < DEPTH_RATIO * said)
    return float(good.mean())


def normals_within_angle(answer: np.ndarray, label: np.ndarray) -> float:
    """Share of pixels whose vectors are within 11.25 degrees; (h, w, 3), any length."""
    answer, label = _same_shape(answer, label)
    said, true = answer.astype(np.float32), label.astype(np.float32)
    along = np.einsum("hwc,hwc->hw", said, true)
    lengths = np.sqrt(np.einsum("hwc,hwc->hw", said, said) * np.einsum("hwc,hwc->hw", true, true))
    return float((along > np.cos(np.radians(NORMAL_ANGLE_DEGREES)) * lengths).mean())


def edge_f1(answer: np.ndarray, label: np.ndarray) -> float:
    """F1 of edge pixels (value >= 128) where a hit may be one pixel away, also diagonally.

    Precision counts answered pixels near a true edge, recall true pixels near an answered one.
    Two empty maps agree and score 1.
    """
    answer, label = _same_shape(answer, label)
    said, true = answer >= EDGE_LEVEL, label >= EDGE_LEVEL
    if not said.any() or not true.any():
        return float(said.any() == true.any())
    precision = float(_grown(true)[said].mean())
    recall = float(_grown(said)[true].mean())
    return _f1(precision, recall)


def corner_f1(answer: np.ndarray, label: np.ndarray) -> float:
    """F1 of the peaks of an answered heat map against those of the label, (h, w) uint8.

    Peaks are matched one to one, strongest first, to the nearest free true corner within
    2 pixels. Two maps without a peak agree and score 1.
    """
    answer, label = _same_shape(answer, label)
    said_n2, true_n2 = corners(answer), corners(label)
    if len(said_n2) == 0 or len(true_n2) == 0:
        return float(len(said_n2) == len(true_n2))
    square = ((said_n2[:, None, :] - true_n2[None, :, :]) ** 2).sum(axis=-1).astype(float)
    square[square > MATCH_RADIUS_PX**2] = np.inf
    matched = 0
    for row in square:
        nearest = int(row.argmin())
        if np.isfinite(row[nearest]):
            matched += 1
            square[:, nearest] = np.inf
    return 2 * matched / (len(said_n2) + len(true_n2))


def corners(heat: np.ndarray) -> np.ndarray:
    """(n, 2) row, column of local maxima of at least 0.3 of full heat, strongest first.

    A maximum is not exceeded in its 3 x 3 neighbourhood; of equal neighbours the first counts.
    """
    padded = np.pad(heat.astype(np.int16), 1)
    here = padded[1:-1, 1:-1]
    peak = here >= PEAK_LEVEL
    for down in (0, 1, 2):
        for right in (0, 1, 2):
            if (down, right) == (1, 1):
                continue
            there = padded[down : down + heat.shape[0], right : right + heat.shape[1]]
            earlier = (down, right) < (1, 1)
            peak &= (here > there) if earlier else (here >= there)
    found = np.argwhere(peak)
    strength = heat[found[:, 0], found[:, 1]].astype(int)
    return found[np.argsort(-strength, kind="stable")]


def same_class(answer: np.ndarray, label: np.ndarray) -> float:
    """1 if the largest of the answer's (k,) class shares is where the label's is, else 0."""
    answer, label = _same_shape(answer, label)
    return float(answer.argmax() == label.argmax())


def _grown(mask: np.ndarray) -> np.ndarray:
    """`mask` with every pixel's eight neighbours added."""
    padded = np.pad(mask, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    grown: np.ndarray = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
    return grown


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _same_shape(answer: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if answer.shape != label.shape:
        raise ValueError(f"answer has shape {answer.shape}, its label {label.shape}")
    return answer, label
