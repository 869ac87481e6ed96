"""Sampling a whole room: its size and surfaces, what stands where, the camera and the lights."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from models.benchmarks.raycast.solids import (
    Camera,
    Light,
    Material,
    Pattern,
    Point,
    Scene,
    Shape,
    Solid,
)
from models.benchmarks.rooms.furniture import (
    AGAINST_WALL,
    FREE_STANDING,
    Builder,
    material,
    on_top,
    opening,
)

__all__ = ["sample_scene"]

CAMERA_CLEARANCE_M = 0.55
PLACING_TRIES = 12


@dataclass(frozen=True)
class _Spot:
    x: float
    y: float
    radius_m: float


def sample_scene(rng: np.random.Generator) -> Scene:
    """A furnished room and a camera in it; the same `rng` state gives the same scene."""
    size = (rng.uniform(3.2, 6.0), rng.uniform(3.2, 6.0), rng.uniform(2.4, 3.0))
    camera = _camera(rng, size)
    taken = [_Spot(camera.position[0], camera.position[1], CAMERA_CLEARANCE_M)]
    solids: list[Solid] = []
    instance = 1
    for solid in _wall_openings(rng, size):
        solids.append(replace(solid, instance=instance))
        instance += 1
    if rng.random() < 0.6:
        solids.append(replace(_rug(rng, size), instance=instance))
        instance += 1
    for _ in range(int(rng.integers(4, 9))):
        thing = _thing(rng, size, taken)
        solids += [replace(part, instance=instance + part.instance) for part in thing]
        instance += 2 if thing else 0
    lights = [
        Light(
            (size[0] * rng.uniform(0.3, 0.7), size[1] * rng.uniform(0.3, 0.7), size[2] - 0.25),
            rng.uniform(1.6, 3.0),
            (1.0, rng.uniform(0.88, 1.0), rng.uniform(0.7, 1.0)),
        )
    ]
    lights += [
        Light(s.center, 0.5, s.material.color)
        for s in solids
        if s.material.emission > 0 and s.label == "lamp"
    ]
    faces = _faces(rng)
    return Scene(size, faces, tuple(solids), camera, tuple(lights), rng.uniform(0.15, 0.32))


def _camera(rng: np.random.Generator, size: Point) -> Camera:
    """Near a wall, at about eye height, looking across the room and a little down."""
    along = rng.uniform(0.15, 0.85)
    depth = rng.uniform(0.35, 0.9)
    wall = rng.integers(4)
    x, y = (
        (depth, along * size[1]),
        (size[0] - depth, along * size[1]),
        (along * size[0], depth),
        (along * size[0], size[1] - depth),
    )[wall]
    target_x = size[0] * rng.uniform(0.35, 0.65)
    target_y = size[1] * rng.uniform(0.35, 0.65)
    z = rng.uniform(1.3, 1.6)
    yaw = math.atan2(target_y - y, target_x - x) + rng.normal(0, 0.2)
    return Camera((x, y, z), yaw, -rng.uniform(0.08, 0.4))


def _faces(rng: np.random.Generator) -> tuple[Material, ...]:
    wall = material(rng, Pattern.PLAIN, Pattern.PLAIN, Pattern.STRIPES, Pattern.CLOUDS)
    accent = material(rng, Pattern.PLAIN, Pattern.BRICKS, Pattern.STRIPES)
    walls = [wall] * 4
    if rng.random() < 0.4:
        walls[int(rng.integers(4))] = accent
    floor = material(rng, Pattern.WOOD, Pattern.WOOD, Pattern.CHECKER, Pattern.CLOUDS, gloss=0.25)
    bright = rng.uniform(0.7, 0.92)
    ceiling = Material((bright,) * 3, (0.95 * bright,) * 3, Pattern.PLAIN)
    return (*walls, floor, ceiling)


def _wall_openings(rng: np.random.Generator, size: Point) -> list[Solid]:
    """At most one door and two windows, each on its own wall."""
    walls = rng.permutation(4)
    labels = ["door"] * int(rng.random() < 0.75) + ["window"] * int(rng.integers(0, 3))
    placed = []
    for wall, label in zip(walls, labels, strict=False):
        slab = opening(rng, label, size[2])
        length = size[1] if wall < 2 else size[0]
        along = rng.uniform(slab.half[0] + 0.1, length - slab.half[0] - 0.1)
        x, y = ((0.0, along), (size[0], along), (along, 0.0), (along, size[1]))[wall]
        placed.append(slab.placed(x, y, math.pi / 2 if wall < 2 else 0.0, 0))
    return placed


def _rug(rng: np.random.Generator, size: Point) -> Solid:
    shape = Shape.CYLINDER if rng.random() < 0.4 else Shape.BOX
    half = (rng.uniform(0.6, 1.2), rng.uniform(0.5, 0.9), 0.004)
    look = material(rng, Pattern.STRIPES, Pattern.CHECKER, Pattern.CLOUDS, Pattern.PLAIN)
    rug = Solid(
        shape, (0, 0, 0.004), half, "rug", look,
        has_corners=shape is Shape.BOX, casts_shadow=False,
    )  # fmt: skip
    return rug.placed(
        size[0] * rng.uniform(0.35, 0.65), size[1] * rng.uniform(0.35, 0.65),
        rng.choice([0.0, math.pi / 2]), 0,
    )  # fmt: skip


def _thing(rng: np.random.Generator, size: Point, taken: list[_Spot]) -> list[Solid]:
    """One thing placed clear of `taken` (which grows), or nothing where no place was found."""
    at_wall = rng.random() < 0.35
    parts = list(_draw(rng, AGAINST_WALL if at_wall else FREE_STANDING)(rng))
    reach_x = max(abs(part.center[0]) + part.half[0] for part in parts)
    reach_y = max(abs(part.center[1]) + part.half[1] for part in parts)
    if parts[0].label in ("table", "cabinet") and parts[0].half[2] < 0.5 and rng.random() < 0.5:
        parts.append(replace(on_top(rng, parts[0]), instance=1))
    radius_m = math.hypot(reach_x, reach_y) * 0.9
    for _ in range(PLACING_TRIES):
        if at_wall:
            x, y, yaw = _beside_wall(rng, size, reach_x, reach_y)
        else:
            x = rng.uniform(reach_x + 0.05, size[0] - reach_x - 0.05)
            y = rng.uniform(reach_x + 0.05, size[1] - reach_x - 0.05)
            yaw = rng.uniform(0, 2 * math.pi)
        if all(math.hypot(x - s.x, y - s.y) > radius_m + s.radius_m for s in taken):
            taken.append(_Spot(x, y, radius_m))
            return [part.placed(x, y, yaw, part.instance) for part in parts]
    return []


def _beside_wall(
    rng: np.random.Generator, size: Point, reach_x: float, reach_y: float
) -> tuple[float, float, float]:
    wall = int(rng.integers(4))
    length = size[1] if wall < 2 else size[0]
    along = rng.uniform(reach_x + 0.02, length - reach_x - 0.02)
    away = reach_y + 0.02
    return (
        (away, along, -math.pi / 2),
        (size[0] - away, along, math.pi / 2),
        (along, away, 0.0),
        (along, size[1] - away, math.pi),
    )[wall]


def _draw(rng: np.random.Generator, choices: tuple[tuple[Builder, float], ...]) -> Builder:
    weights = np.array([weight for _, weight in choices])
    return choices[int(rng.choice(len(choices), p=weights / weights.sum()))][0]
