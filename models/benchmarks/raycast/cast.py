"""Ray casting of a scene with numpy: nearest surface, depth, normal and shadow at every pixel.

Axes: `3` = x, y, z first (components stay contiguous), `h` rows, `w` columns, `s` surfaces.
Every solid is a unit shape in its own frame (turned by yaw, scaled by its half extents), so one
interval test a shape serves; a ray o + t d keeps its t in that frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.benchmarks.raycast.solids import Camera, Light, Scene, Shape, Solid

__all__ = ["FACES", "Hits", "camera_axes", "cast", "lit", "project", "solid_corners"]

FACES = 6  # surfaces 0..5 are the room's faces, FACES + k is solid k
NEAR_M = 0.05
_CORNER_SIGNS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)


@dataclass(frozen=True)
class Hits:
    """What each pixel sees; lengths in metres, world frame unless said otherwise."""

    surface_hw: NDArray[np.int16]
    depth_hw: np.ndarray
    point_3hw: np.ndarray
    local_3hw: np.ndarray
    normal_3hw: np.ndarray
    local_normal_3hw: np.ndarray
    axes: np.ndarray


def camera_axes(camera: Camera) -> np.ndarray:
    """(3, 3) rows right, down, forward of the camera in world coordinates."""
    cy, sy = math.cos(camera.yaw), math.sin(camera.yaw)
    cp, sp = math.cos(camera.pitch), math.sin(camera.pitch)
    return np.array([[sy, -cy, 0.0], [sp * cy, sp * sy, -cp], [cp * cy, cp * sy, sp]], np.float32)


def project(camera: Camera, point_n3: np.ndarray, height: int, width: int) -> np.ndarray:
    """(n, 3) column, row (pixel centres at integers) and depth in metres of world points."""
    seen_n3 = (point_n3 - np.asarray(camera.position)) @ camera_axes(camera).T
    focal = 0.5 * width / math.tan(camera.field_of_view / 2)
    depth = seen_n3[:, 2]
    safe = np.where(depth > NEAR_M, depth, NEAR_M)
    column = focal * seen_n3[:, 0] / safe + (width - 1) / 2
    row = focal * seen_n3[:, 1] / safe + (height - 1) / 2
    return np.stack([column, row, depth], axis=1)


def solid_corners(solid: Solid) -> np.ndarray:
    """(8, 3) corners of the box around a solid, world frame."""
    own = _CORNER_SIGNS * np.asarray(solid.half)
    c, s = math.cos(solid.yaw), math.sin(solid.yaw)
    turned = np.stack([c * own[:, 0] - s * own[:, 1], s * own[:, 0] + c * own[:, 1], own[:, 2]], 1)
    corner_83: np.ndarray = turned + np.asarray(solid.center)
    return corner_83


def cast(scene: Scene, height: int, width: int) -> Hits:
    """Trace one ray a pixel. Depth is along the optical axis, not along the ray."""
    axes = camera_axes(scene.camera)
    focal = 0.5 * width / math.tan(scene.camera.field_of_view / 2)
    column_w = (np.arange(width, dtype=np.float32) - (width - 1) / 2) / focal
    row_h = (np.arange(height, dtype=np.float32) - (height - 1) / 2) / focal
    ray_3hw = (
        axes[0][:, None, None] * column_w[None, None, :]
        + axes[1][:, None, None] * row_h[None, :, None]
        + axes[2][:, None, None]
    )
    origin = np.asarray(scene.camera.position, np.float32)
    depth_hw, surface_hw = _room(scene, origin, ray_3hw)
    windows = _windows(scene, height, width)
    for index, (solid, window) in enumerate(zip(scene.solids, windows, strict=True)):
        if window is None:
            continue
        rows, columns = window
        start, direction = _to_local(solid, origin[:, None, None], ray_3hw[:, rows, columns])
        near, far = _interval(solid.shape, start, direction)
        nearest = depth_hw[rows, columns]
        hit = (near < far) & (near > NEAR_M) & (near < nearest)
        np.copyto(nearest, near, where=hit)
        surface_hw[rows, columns][hit] = FACES + index
    point_3hw = origin[:, None, None] + depth_hw * ray_3hw
    local, local_normal, normal = _frames(scene, surface_hw, point_3hw)
    return Hits(surface_hw, depth_hw, point_3hw, local, normal, local_normal, axes)


def lit(scene: Scene, hits: Hits, light: Light) -> np.ndarray:
    """(h, w) bool: no solid stands between the pixel's point and the light."""
    start_3hw = hits.point_3hw + 0.01 * hits.normal_3hw
    way_3hw = np.asarray(light.position, np.float32)[:, None, None] - start_3hw
    lit_hw = np.ones(hits.depth_hw.shape, bool)
    for solid in scene.solids:
        if not solid.casts_shadow or solid.material.emission > 0:
            continue
        near, far = _interval(solid.shape, *_to_local(solid, start_3hw, way_3hw))
        lit_hw &= ~((near < far) & (near < 1) & (far > 0))
    return lit_hw


def _room(
    scene: Scene, origin: np.ndarray, ray_3hw: np.ndarray
) -> tuple[np.ndarray, NDArray[np.int16]]:
    size = np.asarray(scene.size, np.float32)
    wall = np.where(ray_3hw > 0, size[:, None, None], 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1 / ray_3hw
        leave_3hw = (wall - origin[:, None, None]) * inverse
    # A ray along a pair of walls meets neither, whichever sign its zero has.
    leave_3hw[ray_3hw == 0] = np.inf
    axis_hw = leave_3hw.argmin(axis=0)
    depth_hw = leave_3hw.min(axis=0)
    ahead = np.take_along_axis(ray_3hw, axis_hw[None], axis=0)[0] > 0
    return depth_hw, (2 * axis_hw + ahead).astype(np.int16)


def _windows(scene: Scene, height: int, width: int) -> list[tuple[slice, slice] | None]:
    """Rows and columns that can see each solid, None if no pixel can."""
    if not scene.solids:
        return []
    corner_s83 = np.stack([solid_corners(solid) for solid in scene.solids])
    seen_s83 = project(scene.camera, corner_s83.reshape(-1, 3), height, width).reshape(-1, 8, 3)
    depth_s8 = seen_s83[:, :, 2]
    hidden_s = np.all(depth_s8 <= NEAR_M, axis=1)
    close_s = np.any(depth_s8 <= 2 * NEAR_M, axis=1)
    low_s2 = np.floor(seen_s83[:, :, :2].min(axis=1)).clip(0, None).astype(int)
    high_s2 = np.ceil(seen_s83[:, :, :2].max(axis=1)).astype(int) + 1
    high_s2 = np.minimum(high_s2, (width, height))
    windows: list[tuple[slice, slice] | None] = []
    for hidden, close, low, high in zip(hidden_s, close_s, low_s2, high_s2, strict=True):
        if hidden or (not close and (low >= high).any()):
            windows.append(None)
        elif close:
            windows.append((slice(0, height), slice(0, width)))
        else:
            windows.append((slice(low[1], high[1]), slice(low[0], high[0])))
    return windows


def _to_local(
    solid: Solid, start: np.ndarray, direction: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Ray starts and directions in the solid's unit frame; first axis is x, y, z."""
    c, s = math.cos(solid.yaw), math.sin(solid.yaw)
    a, b, d = (1 / h for h in solid.half)
    turn = np.array([[c * a, s * a, 0], [-s * b, c * b, 0], [0, 0, d]], np.float32)
    center = np.asarray(solid.center, np.float32).reshape(3, *(1,) * (start.ndim - 1))
    moved = (turn @ (start - center).reshape(3, -1)).reshape(start.shape)
    return moved, (turn @ direction.reshape(3, -1)).reshape(direction.shape)


def _interval(
    shape: Shape, start: np.ndarray, direction: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Entry and exit t of rays through the unit shape; entry > exit (or nan) where they miss."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if shape is Shape.ELLIPSOID:
            return _quadric(start, direction)
        if shape is Shape.BOX:
            return _slabs(start, direction)
        near_round, far_round = _quadric(start[:2], direction[:2])
        near_flat, far_flat = _slabs(start[2:], direction[2:])
        return np.maximum(near_round, near_flat), np.minimum(far_round, far_flat)


def _slabs(start: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    inverse = 1 / direction
    middle = -start * inverse
    spread = np.abs(inverse)
    return (middle - spread).max(axis=0), (middle + spread).min(axis=0)


def _quadric(start: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a = (direction * direction).sum(axis=0)
    b = (start * direction).sum(axis=0)
    c = (start * start).sum(axis=0) - 1
    root = np.sqrt(b * b - a * c)
    return (-b - root) / a, (-b + root) / a


def _frames(
    scene: Scene, surface_hw: np.ndarray, point_3hw: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Point in the surface's own frame [m], outward normal in that frame and in the world."""
    room_half = tuple(extent / 2 for extent in scene.size)
    center_3s = np.array([room_half] * FACES + [s.center for s in scene.solids], np.float32).T
    half_3s = np.array([room_half] * FACES + [s.half for s in scene.solids], np.float32).T
    yaw_s = np.array([0.0] * FACES + [s.yaw for s in scene.solids], np.float32)
    shape_s = np.array([Shape.BOX] * FACES + [s.shape for s in scene.solids])
    c, s = np.cos(yaw_s)[surface_hw], np.sin(yaw_s)[surface_hw]
    half = half_3s[:, surface_hw]
    local = _turn(c, s, point_3hw - center_3s[:, surface_hw])
    eye = np.asarray(scene.camera.position, np.float32)[:, None, None]
    to_eye = _turn(c, s, eye - point_3hw)
    own = _own_normals(surface_hw, shape_s[surface_hw], local / half, half, to_eye)
    return local, own, _turn(c, -s, own)


def _turn(c: np.ndarray, s: np.ndarray, vector_3hw: np.ndarray) -> np.ndarray:
    x, y, z = vector_3hw
    return np.stack([c * x + s * y, c * y - s * x, z])


def _own_normals(
    surface_hw: np.ndarray,
    shape_hw: np.ndarray,
    unit_3hw: np.ndarray,
    half_3hw: np.ndarray,
    to_eye_3hw: np.ndarray,
) -> np.ndarray:
    """Unit normals in the solids' frames of the points `unit_3hw` on the unit shapes.

    Only a face turned to the eye can be the one seen: at a solid's rim rounding alone could
    choose its neighbour.
    """
    size = np.abs(unit_3hw)
    room = surface_hw < FACES
    faces_eye = unit_3hw * to_eye_3hw > 0
    chosen = np.where(room, surface_hw // 2, np.where(faces_eye, size, 0).argmax(axis=0))
    outward = np.where(room, -1, 1) * np.sign(unit_3hw)
    box = np.where(chosen == np.arange(3)[:, None, None], outward, 0)
    round_ = unit_3hw / half_3hw
    flat_end = (size[2] ** 2 > size[0] ** 2 + size[1] ** 2) & faces_eye[2]
    tube = np.where(flat_end, [[[0]], [[0]], [[1]]] * np.sign(unit_3hw), round_)
    tube[2] *= flat_end
    own = np.where(shape_hw == Shape.BOX, box, np.where(shape_hw == Shape.CYLINDER, tube, round_))
    unit: np.ndarray = own / (np.sqrt((own * own).sum(axis=0)) + 1e-9)
    return unit.astype(np.float32)
