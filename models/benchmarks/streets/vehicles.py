"""Vehicles from a few solids, built around the origin of the ground with their front to +y."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.benchmarks.raycast.solids import Material, Pattern, Point, Shape, Solid

__all__ = ["Vehicle", "sample_vehicle"]

KINDS = {"car": 0.68, "van": 0.14, "truck": 0.1, "bus": 0.08}
_BLACK = Material((0.02, 0.02, 0.02), (0.05, 0.05, 0.05))
_GLASS = Material((0.05, 0.07, 0.1), (0.1, 0.13, 0.17), gloss=0.6)
_FRONT = Material((1.0, 0.97, 0.85), (1.0, 0.97, 0.85), emission=0.9)
_REAR = Material((0.8, 0.03, 0.02), (0.8, 0.03, 0.02), emission=0.5)


@dataclass(frozen=True)
class Vehicle:
    """The solids of one vehicle and the length, width and height of the box around them."""

    solids: tuple[Solid, ...]
    size: Point


def sample_vehicle(rng: np.random.Generator) -> Vehicle:
    """A vehicle of random kind, size and paint."""
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    return {"car": _car, "van": _van, "truck": _truck, "bus": _bus}[kind](rng)


def _car(rng: np.random.Generator) -> Vehicle:
    size = (rng.uniform(3.7, 4.9), rng.uniform(1.65, 1.9), rng.uniform(1.38, 1.6))
    length, width, height = size
    belt = 0.58 * height
    cabin_long, back = rng.uniform(0.42, 0.58) * length, rng.uniform(0.03, 0.2) * length
    middle = -length / 2 + back + cabin_long / 2
    return _with_details(
        [
            _block(0, 0.22, belt, length, width, _paint(rng)),
            _block(middle, belt, height, cabin_long, 0.86 * width, _GLASS),
            _block(middle, height - 0.06, height, 0.8 * cabin_long, 0.8 * width, _paint(rng)),
        ],
        size, belt,
    )  # fmt: skip


def _van(rng: np.random.Generator) -> Vehicle:
    size = (rng.uniform(4.6, 5.8), rng.uniform(1.85, 2.05), rng.uniform(1.9, 2.5))
    length, width, height = size
    paint = _paint(rng)
    nose = rng.uniform(0.5, 0.9)
    body = length - nose
    return _with_details(
        [
            _block(-nose / 2, 0.25, height, body, width, paint),
            _block(length / 2 - nose / 2, 0.25, 0.5 * height, nose, width, paint),
            _block(body / 2 - nose / 2 - 0.1, 0.55 * height, 0.9 * height, 0.5, width + 0.02,
                   _GLASS),
        ],
        size, 0.5 * height,
    )  # fmt: skip


def _truck(rng: np.random.Generator) -> Vehicle:
    size = (rng.uniform(6.0, 9.5), rng.uniform(2.2, 2.5), rng.uniform(2.7, 3.6))
    length, width, height = size
    cab, cab_high = rng.uniform(1.6, 2.1), rng.uniform(2.1, 2.6)
    box = length - cab - 0.15
    return _with_details(
        [
            _block(-length / 2 + box / 2, 0.7, height, box, width, _paint(rng)),
            _block(length / 2 - cab / 2, 0.4, cab_high, cab, 0.94 * width, _paint(rng)),
            _block(length / 2 - 0.25, 0.58 * cab_high, 0.92 * cab_high, 0.52, 0.88 * width,
                   _GLASS),
            _block(0, 0.4, 0.7, length, 0.4 * width, _BLACK),
        ],
        size, 0.9,
    )  # fmt: skip


def _bus(rng: np.random.Generator) -> Vehicle:
    size = (rng.uniform(9.0, 12.0), rng.uniform(2.4, 2.6), rng.uniform(2.8, 3.3))
    length, width, height = size
    return _with_details(
        [
            _block(0, 0.35, height, length, width, _paint(rng)),
            _block(0, 0.45 * height, 0.82 * height, 0.94 * length, width + 0.02, _GLASS),
            _block(length / 2 - 0.1, 0.35 * height, 0.85 * height, 0.22, 0.9 * width, _GLASS),
        ],
        size, 0.9,
    )  # fmt: skip


def _with_details(blocks: list[Solid], size: Point, lamp_z: float) -> Vehicle:
    """Axles below and bars of lamps at both ends, which tell the front from the back."""
    length, width, _ = size
    radius = 0.32 if length < 6 else 0.48
    parts = list(blocks)
    for y in (-0.31 * length, 0.31 * length):
        half = (width / 2 + 0.01, radius, radius)
        parts.append(Solid(Shape.BOX, (0, y, radius), half, "vehicle", _BLACK,
                           casts_shadow=False))  # fmt: skip
    for y, look in ((length / 2, _FRONT), (-length / 2, _REAR)):
        center = (0, y * 0.995, min(lamp_z, 0.95) - 0.15)
        parts.append(Solid(Shape.BOX, center, (0.44 * width, 0.03, 0.09), "vehicle", look,
                           casts_shadow=False))  # fmt: skip
    return Vehicle(tuple(parts), size)


def _block(y: float, low: float, high: float, length: float, width: float, look: Material) -> Solid:
    half = (width / 2, length / 2, (high - low) / 2)
    return Solid(
        Shape.BOX, (0, y, (low + high) / 2), half, "vehicle", look, casts_shadow=look is not _GLASS
    )


def _paint(rng: np.random.Generator) -> Material:
    grey = rng.uniform(0.04, 0.85)
    tint = rng.uniform(0.03, 0.8, 3)
    share = rng.choice([0.05, 0.8], p=[0.55, 0.45])
    first = tuple(float(c) for c in (1 - share) * grey + share * tint)
    color = (first[0], first[1], first[2])
    return Material(color, color, Pattern.PLAIN, gloss=0.5)
