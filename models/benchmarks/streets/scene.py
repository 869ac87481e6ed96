"""Sampling a street: ground, kerbs, houses, trees, poles, people, vehicles, the camera, the sun.

World axes: x to the right of the street, y along it, z up; the street is the inside of a large
box whose floor is the ground and whose other faces are the sky.
"""

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
from models.benchmarks.streets.vehicles import sample_vehicle

__all__ = ["Placed", "sample_street"]

EXTENT_M = (120.0, 120.0, 60.0)
CAMERA_Y_M = 2.0
MIDDLE_M = EXTENT_M[0] / 2
LANE_M = 3.3
FARTHEST_VEHICLE_M = 45.0


@dataclass(frozen=True)
class Placed:
    """A vehicle in the street: its instance number, centre on the ground, heading, extents.

    `yaw` turns +y, the front, anticlockwise seen from above.
    """

    instance: int
    x: float
    y: float
    yaw: float
    size: Point


def sample_street(rng: np.random.Generator) -> tuple[Scene, tuple[Placed, ...]]:
    """A street seen from a lane of it and its vehicles; the same `rng` gives the same."""
    half_road = LANE_M * float(rng.choice([1, 1, 1.5, 2]))
    pavement = rng.uniform(1.5, 4.0)
    solids = _ground(rng, half_road, pavement)
    solids += _houses(rng, half_road + pavement)
    solids += _furniture(rng, half_road, pavement)
    camera = Camera(
        (MIDDLE_M + rng.uniform(0.2, 0.8) * half_road, CAMERA_Y_M, rng.uniform(1.25, 1.6)),
        math.pi / 2 + rng.normal(0, 0.06),
        0.0,
    )
    vehicles = _traffic(rng, half_road, camera)
    for number, (placed, parts) in enumerate(vehicles, start=1):
        solids += [replace(part, instance=number) for part in parts]
        vehicles[number - 1] = (replace(placed, instance=number), parts)
    sun = (MIDDLE_M + rng.uniform(-800, 800), rng.uniform(-700, 500), rng.uniform(350, 900))
    sky = Material(*_sky(rng), Pattern.CLOUDS, 25.0, emission=1.0)
    ground = _near(rng, (0.16, 0.26, 0.09), Pattern.CLOUDS, 0.8)
    scene = Scene(
        EXTENT_M, (sky, sky, sky, sky, ground, sky), tuple(solids), camera,
        (Light(sun, 1.0, (1.0, 0.95, 0.85)),), rng.uniform(0.35, 0.6),
    )  # fmt: skip
    return scene, tuple(placed for placed, _ in vehicles)


def _slab(left: float, right: float, top: float, label: str, look: Material) -> Solid:
    center = ((left + right) / 2, EXTENT_M[1] / 2, top / 2)
    half = ((right - left) / 2, EXTENT_M[1] / 2, top / 2)
    return Solid(Shape.BOX, center, half, label, look, casts_shadow=False)


def _ground(rng: np.random.Generator, half_road: float, pavement: float) -> list[Solid]:
    tar = _near(rng, (0.17, 0.17, 0.18), Pattern.CLOUDS, 0.5)
    stone = _near(rng, (0.42, 0.4, 0.38), Pattern.CHECKER, 0.5)
    paint = Material((0.85,) * 3, (0.7,) * 3, Pattern.CLOUDS, 0.4)
    left, right = MIDDLE_M - half_road, MIDDLE_M + half_road
    solids = [
        _slab(left, right, 0.02, "road", tar),
        _slab(left - pavement, left, 0.14, "pavement", stone),
        _slab(right, right + pavement, 0.14, "pavement", stone),
    ]
    for y in np.arange(rng.uniform(0, 8), 40, 8.0):
        dash = Solid(Shape.BOX, (MIDDLE_M, float(y), 0.012), (0.08, 1.2, 0.012), "road", paint,
                     casts_shadow=False)  # fmt: skip
        solids.append(dash)
    return solids


def _houses(rng: np.random.Generator, offset: float) -> list[Solid]:
    solids = []
    for side in (-1, 1):
        y = rng.uniform(-6, 2)
        while y < 75:
            front, deep = rng.uniform(7, 22), rng.uniform(6, 12)
            if rng.random() < 0.78:
                high = rng.uniform(4, 22)
                away = offset + rng.uniform(0, 4) + deep / 2
                look = _near(
                    rng, tuple(rng.uniform(0.2, 0.7, 3)),
                    Pattern(int(rng.choice([Pattern.PANES, Pattern.BRICKS, Pattern.PANES]))),
                    rng.uniform(1.4, 2.6),
                )  # fmt: skip
                center = (MIDDLE_M + side * away, y + front / 2, high / 2)
                solids.append(
                    Solid(Shape.BOX, center, (deep / 2, front / 2, high / 2), "building", look)
                )
            y += front + rng.choice([0.0, rng.uniform(1, 8)])
    return solids


def _furniture(rng: np.random.Generator, half_road: float, pavement: float) -> list[Solid]:
    """Trees, poles and people beside (people sometimes on) the road."""
    solids: list[Solid] = []
    for _ in range(int(rng.integers(2, 8))):
        x, y = _beside(rng, half_road + rng.uniform(0.4, pavement + 3))
        solids += _tree(rng, x, y)
    for _ in range(int(rng.integers(2, 6))):
        x, y = _beside(rng, half_road + 0.4)
        solids += _pole(rng, x, y)
    for _ in range(int(rng.integers(0, 6))):
        off_road = half_road + rng.uniform(0.5, pavement)
        x, y = _beside(rng, off_road if rng.random() < 0.8 else rng.uniform(0, half_road))
        solids += _person(rng, x, y)
    return solids


def _beside(rng: np.random.Generator, away: float) -> tuple[float, float]:
    y = CAMERA_Y_M + float(np.exp(rng.uniform(math.log(5), math.log(60))))
    return MIDDLE_M + float(rng.choice([-1, 1])) * away, y


def _tree(rng: np.random.Generator, x: float, y: float) -> list[Solid]:
    bark = _near(rng, (0.2, 0.13, 0.08), Pattern.WOOD, 0.3)
    leaf = _near(rng, (0.1, 0.25, 0.06), Pattern.CLOUDS, 0.5)
    stem, crown = rng.uniform(1.2, 2.6), rng.uniform(0.8, 2.0)
    trunk = Solid(
        Shape.CYLINDER,
        (x, y, stem / 2),
        (0.15, 0.15, stem / 2),
        "vegetation",
        bark,
        casts_shadow=False,
    )
    tall = crown * rng.uniform(0.8, 1.5)
    ball = Solid(Shape.ELLIPSOID, (x, y, stem + 0.8 * tall), (crown, crown, tall), "vegetation",
                 leaf)  # fmt: skip
    return [trunk, ball]


def _pole(rng: np.random.Generator, x: float, y: float) -> list[Solid]:
    metal = _near(rng, (0.3, 0.3, 0.32), Pattern.PLAIN, 1.0)
    high = rng.uniform(2.4, 5.5)
    rod = Solid(Shape.CYLINDER, (x, y, high / 2), (0.08, 0.08, high / 2), "pole", metal)
    if rng.random() < 0.5:
        return [rod]
    plate = _near(rng, tuple(rng.choice([0.05, 0.8], 3)), Pattern.PLAIN, 1.0)
    sign = Solid(Shape.BOX, (x, y - 0.1, high - 0.35), (0.35, 0.03, 0.35), "pole", plate,
                 casts_shadow=False)  # fmt: skip
    return [rod, sign]


def _person(rng: np.random.Generator, x: float, y: float) -> list[Solid]:
    high = rng.uniform(1.5, 1.9)
    legs = _near(rng, tuple(rng.uniform(0.03, 0.4, 3)), Pattern.PLAIN, 1.0)
    coat = _near(rng, tuple(rng.uniform(0.05, 0.8, 3)), Pattern.PLAIN, 1.0)
    skin = Material((0.6, 0.42, 0.33), (0.6, 0.42, 0.33))
    return [
        Solid(
            Shape.CYLINDER,
            (x, y, 0.24 * high),
            (0.15, 0.15, 0.24 * high),
            "person",
            legs,
            casts_shadow=False,
        ),
        Solid(Shape.ELLIPSOID, (x, y, 0.64 * high), (0.25, 0.2, 0.23 * high), "person", coat),
        Solid(
            Shape.ELLIPSOID,
            (x, y, 0.93 * high),
            (0.11, 0.11, 0.13),
            "person",
            skin,
            casts_shadow=False,
        ),
    ]


def _traffic(
    rng: np.random.Generator, half_road: float, camera: Camera
) -> list[tuple[Placed, list[Solid]]]:
    """Vehicles in lanes, along the kerb, or turning; none overlaps another or the camera."""
    placed: list[tuple[Placed, list[Solid]]] = []
    for k in range(int(rng.integers(2, 9))):
        vehicle = sample_vehicle(rng)
        length, width, _ = vehicle.size
        near = 7 if k == 0 else 5
        y = CAMERA_Y_M + float(np.exp(rng.uniform(math.log(near), math.log(FARTHEST_VEHICLE_M))))
        side = float(rng.choice([-1, 1]))
        way = rng.random()
        if way < 0.4:
            x, yaw = side * (half_road - width / 2 - 0.15), rng.normal(0, 0.03)
        elif way < 0.85:
            x, yaw = side * half_road / 2 + rng.normal(0, 0.2), rng.normal(0, 0.06)
        else:
            x, yaw = rng.uniform(-half_road, half_road), rng.uniform(-math.pi, math.pi)
        if side < 0 and way < 0.85:
            yaw += math.pi  # the other lane comes towards the camera
        x += MIDDLE_M
        reach = math.hypot(length, width) / 2
        clear = math.hypot(x - camera.position[0], y - camera.position[1]) > reach + 1.0
        if clear and not any(_overlap(x, y, length, width, other) for other, _ in placed):
            parts = [part.placed(x, y, yaw, 0) for part in vehicle.solids]
            placed.append((Placed(0, x, y, yaw, vehicle.size), parts))
    return placed


def _overlap(x: float, y: float, length: float, width: float, other: Placed) -> bool:
    along = (length + other.size[0]) / 2 + 0.5
    aside = (width + other.size[1]) / 2 + 0.3
    if abs(math.sin(other.yaw)) > 0.2:
        aside = along
    return abs(y - other.y) < along and abs(x - other.x) < aside


def _near(
    rng: np.random.Generator, color: tuple[float, ...], pattern: Pattern, scale_m: float
) -> Material:
    first = np.clip(np.array(color) * np.exp(rng.normal(0, 0.2, 3)) * rng.uniform(0.7, 1.3), 0, 1)
    second = first * rng.uniform(0.45, 0.85)
    return Material((first[0], first[1], first[2]), (second[0], second[1], second[2]), pattern,
                    scale_m)  # fmt: skip


def _sky(rng: np.random.Generator) -> tuple[Point, Point]:
    grey, blue = rng.uniform(0.6, 1.0), rng.uniform(0.0, 0.5)
    first = (grey * (1 - blue), grey * (1 - 0.5 * blue), grey)
    return first, (grey, grey, grey)
