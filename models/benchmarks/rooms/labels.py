"""Exact ground truth of the five dense tasks from the hits of a ray-cast scene.

Axes: `h` rows, `w` columns, `n` points. Label forms are those of `models.tasks`.
"""

from __future__ import annotations

import numpy as np

from models.benchmarks.raycast.cast import FACES, Hits, project, solid_corners
from models.benchmarks.raycast.solids import Scene
from models.tasks import SEGMENTATION_CLASSES

__all__ = ["dense_labels"]

FACE_CLASSES = ("wall", "wall", "wall", "wall", "floor", "ceiling")
DEPTH_JUMP = 0.08  # share of depth between neighbours that is no longer one smooth surface
CREASE_COSINE = float(np.cos(np.radians(30.0)))
KEYPOINT_SIGMA_PX = 1.0
VISIBLE_SLACK = 0.03
MIN_SPACING_PX = 2.5


def dense_labels(scene: Scene, hits: Hits) -> dict[str, np.ndarray]:
    """Labels by task name, at the picture's resolution."""
    return {
        "segmentation": _segmentation(scene, hits),
        "depth": hits.depth_hw.astype(np.float16),
        "normals": _camera_normals(hits),
        "keypoints": _keypoints(scene, hits),
        "edges": _edges(scene, hits),
    }


def _segmentation(scene: Scene, hits: Hits) -> np.ndarray:
    names = FACE_CLASSES + tuple(solid.label for solid in scene.solids)
    ids = np.array([SEGMENTATION_CLASSES.index(name) for name in names], np.uint8)
    return ids[hits.surface_hw]


def _camera_normals(hits: Hits) -> np.ndarray:
    """(h, w, 3) int8, 127 times the unit normal in camera axes right, down, forward."""
    seen = np.tensordot(hits.axes, hits.normal_3hw, axes=(1, 0))
    stored: np.ndarray = np.rint(127 * seen).astype(np.int8)
    return stored.transpose(1, 2, 0).copy()


def _edges(scene: Scene, hits: Hits) -> np.ndarray:
    """(h, w) uint8, 255 where a pixel differs from its right or lower neighbour.

    Different means another thing, another face of the room, a jump in depth, or a crease.
    """
    instance = [-face - 1 for face in range(FACES)] + [s.instance for s in scene.solids]
    thing_hw = np.array(instance)[hits.surface_hw]
    edge_hw = np.zeros(thing_hw.shape, bool)
    for axis in (0, 1):
        here: list[slice] = [slice(None), slice(None)]
        there: list[slice] = [slice(None), slice(None)]
        here[axis], there[axis] = slice(None, -1), slice(1, None)
        a, b = tuple(here), tuple(there)
        near, far = hits.depth_hw[a], hits.depth_hw[b]
        cosine = (hits.normal_3hw[:, *a] * hits.normal_3hw[:, *b]).sum(axis=0)
        edge_hw[a] |= (
            (thing_hw[a] != thing_hw[b])
            | (np.abs(near - far) > DEPTH_JUMP * np.minimum(near, far) + _slope(hits, a, axis))
            | (cosine < CREASE_COSINE)
        )
    return edge_hw.astype(np.uint8) * 255


def _slope(hits: Hits, pixels: tuple[slice, ...], axis: int) -> np.ndarray:
    """Depth a smooth oblique surface gains over one pixel, so that it is no edge by itself."""
    seen = np.tensordot(hits.axes, hits.normal_3hw[:, *pixels], axes=(1, 0))
    depth = hits.depth_hw[pixels]
    step = depth / (hits.depth_hw.shape[1] / 1.5)
    along = np.abs(seen[1 if axis == 0 else 0])
    return np.asarray(1.5 * step * along / np.maximum(np.abs(seen[2]), 0.05))


def _keypoints(scene: Scene, hits: Hits) -> np.ndarray:
    """(h, w) uint8 heat map: 255 at each visible corner's pixel, a Gaussian around it."""
    height, width = hits.depth_hw.shape
    size = np.asarray(scene.size)
    unit = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    corners = [unit * size] + [solid_corners(s) for s in scene.solids if s.has_corners]
    seen = project(scene.camera, np.concatenate(corners), height, width)
    column, row = np.rint(seen[:, 0]).astype(int), np.rint(seen[:, 1]).astype(int)
    inside = (seen[:, 2] > 0.1) & (column > 0) & (column < width - 1)
    inside &= (row > 0) & (row < height - 1)
    column, row, depth = column[inside], row[inside], seen[inside, 2]
    # A corner is seen if any of the pixels around it shows a point about as far as the corner.
    shown = np.zeros(len(depth), bool)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            there = hits.depth_hw[row + down, column + right]
            shown |= np.abs(there - depth) < VISIBLE_SLACK * depth
    heat_hw = np.zeros((height, width), np.float32)
    kept: list[tuple[int, int]] = []
    for position in np.argsort(depth, kind="stable"):
        r, c = int(row[position]), int(column[position])
        if not shown[position]:
            continue
        if any((r - y) ** 2 + (c - x) ** 2 < MIN_SPACING_PX**2 for y, x in kept):
            continue
        kept.append((r, c))
        _stamp(heat_hw, r, c)
    return np.rint(255 * heat_hw).astype(np.uint8)


def _stamp(heat_hw: np.ndarray, row: int, column: int) -> None:
    reach = int(4 * KEYPOINT_SIGMA_PX)
    top, left = max(row - reach, 0), max(column - reach, 0)
    patch = heat_hw[top : row + reach + 1, left : column + reach + 1]
    y = np.arange(top, top + patch.shape[0])[:, None] - row
    x = np.arange(left, left + patch.shape[1])[None, :] - column
    np.maximum(patch, np.exp(-(y * y + x * x) / (2 * KEYPOINT_SIGMA_PX**2)), out=patch)
