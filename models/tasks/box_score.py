"""The score of 3D boxes of vehicles, after the detection score of Cityscapes 3D.

Boxes are rows of `models.tasks.BOX_FIELDS`: confidence, centre in camera axes right, down,
forward [m], length, width, height [m], heading [rad, 0 forward, positive to the right]; the
vertical axis is the camera's. Rows of confidence 0 are no boxes.
Axes: `n` boxes, `8` box fields or corners.
"""

from __future__ import annotations

import numpy as np

__all__ = ["average_precision", "detection_score", "outlines"]

MATCH_IOU = 0.5
FARTHEST_MISS_M = 5.0
NEAREST_M = 0.5


def detection_score(answer: np.ndarray, label: np.ndarray) -> float:
    """AP times the mean similarity of the matched boxes, of one image; both (n, 8).

    An answered box matches the free labelled box whose outline in the picture (amodal, of the
    projected corners) overlaps its own most, from an intersection over union of 0.5 up; the
    more confident choose first. Similarity is the mean of three terms in [0, 1]: centre seen
    from above, 1 - distance / 5 m; size, the product of the three extents' smaller ratios;
    heading, (1 + cos of the difference) / 2. Two empty sets agree and score 1.
    """
    said_n8, true_n8 = _boxes_in(answer), _boxes_in(label)
    if not len(said_n8) or not len(true_n8):
        return float(len(said_n8) == len(true_n8))
    match_n = _match(said_n8, true_n8)
    hit_n = match_n >= 0
    if not hit_n.any():
        return 0.0
    likeness = _likeness(said_n8[hit_n], true_n8[match_n[hit_n]])
    return average_precision(hit_n, len(true_n8)) * float(likeness.mean())


def average_precision(hit_n: np.ndarray, true_count: int) -> float:
    """Area under precision over recall of a ranked list, precision made non-increasing."""
    found = np.cumsum(hit_n)
    precision = found / np.arange(1, len(hit_n) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best_from_here[hit_n].sum() / true_count)


def outlines(box_n8: np.ndarray) -> np.ndarray:
    """(n, 4) left, top, right, bottom of the projected corners on a plane one unit ahead."""
    _, right, down, forward, length, width, height, heading = box_n8.T[:, :, None]
    sign = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    along, aside, up = length / 2 * sign[:, 0], width / 2 * sign[:, 1], height / 2 * sign[:, 2]
    x = right + along * np.sin(heading) + aside * np.cos(heading)
    z = np.maximum(forward + along * np.cos(heading) - aside * np.sin(heading), NEAREST_M)
    u, v = x / z, (down + up) / z
    return np.stack([u.min(axis=1), v.min(axis=1), u.max(axis=1), v.max(axis=1)], axis=1)


def _boxes_in(box_n8: np.ndarray) -> np.ndarray:
    if box_n8.ndim != 2 or box_n8.shape[1] != 8:
        raise ValueError(f"expected boxes of shape (n, 8), got {box_n8.shape}")
    real = box_n8[box_n8[:, 0] > 0].astype(np.float64)
    return real[np.argsort(-real[:, 0], kind="stable")]


def _match(said_n8: np.ndarray, true_n8: np.ndarray) -> np.ndarray:
    """Index of each answered box's labelled box, -1 for none."""
    overlap = _iou(outlines(said_n8), outlines(true_n8))
    match_n = np.full(len(said_n8), -1)
    for row in range(len(said_n8)):
        best = int(overlap[row].argmax())
        if overlap[row, best] >= MATCH_IOU:
            match_n[row] = best
            overlap[:, best] = -1
    return match_n


def _iou(a_n4: np.ndarray, b_n4: np.ndarray) -> np.ndarray:
    low = np.maximum(a_n4[:, None, :2], b_n4[None, :, :2])
    high = np.minimum(a_n4[:, None, 2:], b_n4[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    area_a, area_b = (np.prod(x[:, 2:] - x[:, :2], axis=1) for x in (a_n4, b_n4))
    return np.asarray(common / (area_a[:, None] + area_b[None] - common + 1e-12))


def _likeness(said_n8: np.ndarray, true_n8: np.ndarray) -> np.ndarray:
    miss = np.hypot(said_n8[:, 1] - true_n8[:, 1], said_n8[:, 3] - true_n8[:, 3])
    center = 1 - np.minimum(miss / FARTHEST_MISS_M, 1)
    ratio = np.maximum(said_n8[:, 4:7], 1e-6) / true_n8[:, 4:7]
    size = np.minimum(ratio, 1 / ratio).prod(axis=1)
    heading = (1 + np.cos(said_n8[:, 7] - true_n8[:, 7])) / 2
    return np.asarray((center + size + heading) / 3)
