"""The sixteen things, each a recipe that draws its own proportions from a generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from models.benchmarks.domains.shapes import Part, arc, disc, polygon, rectangle, stroke

__all__ = ["THINGS", "Recipe"]

Recipe = Callable[[Generator], list[Part]]
PI = float(np.pi)


def _house(rng: Generator) -> list[Part]:
    wide, eaves, top = rng.uniform(0.55, 0.85), rng.uniform(-0.25, 0.1), rng.uniform(-0.95, -0.55)
    parts = [rectangle(-wide, eaves, wide, 0.85, 0)]
    if rng.random() < 0.5:
        x = rng.uniform(0.2, 0.5)
        parts.append(rectangle(x, top + 0.1, x + 0.18, eaves, 2))
    ridge = rng.uniform(-0.2, 0.2)
    parts.append(polygon([(-wide - 0.15, eaves), (ridge, top), (wide + 0.15, eaves)], 1))
    door = rng.uniform(-0.5, 0.2)
    parts.append(rectangle(door, 0.3, door + 0.28, 0.85, 2))
    windows = rng.choice([-0.45, 0.0, 0.4], rng.integers(1, 3), replace=False)
    return parts + [rectangle(x - 0.12, eaves + 0.12, x + 0.14, eaves + 0.36, 3) for x in windows]


def _tree(rng: Generator) -> list[Part]:
    thick = rng.uniform(0.07, 0.16)
    parts = [rectangle(-thick, 0.1, thick, 0.95, 1)]
    if rng.random() < 0.4:
        for row in range(int(rng.integers(2, 4))):
            y, wide = 0.35 - 0.38 * row, 0.7 - 0.14 * row
            parts.append(polygon([(-wide, y), (0, y - 0.65), (wide, y)], 0))
        return parts
    for _ in range(int(rng.integers(2, 6))):
        x, y = rng.uniform(-0.35, 0.35), rng.uniform(-0.6, 0.0)
        parts.append(disc(x, y, rng.uniform(0.3, 0.5), rng.uniform(0.28, 0.42), 0))
    return parts


def _car(rng: Generator) -> list[Part]:
    roof, hood = rng.uniform(-0.5, -0.3), rng.uniform(-0.05, 0.08)
    front, back = rng.uniform(0.3, 0.6), rng.uniform(-0.75, -0.4)
    parts = [
        polygon([(back - 0.1, hood), (back + 0.15, roof), (front - 0.2, roof), (front, hood)], 0),
        rectangle(-0.92, hood, 0.92, 0.36, 0),
        polygon(
            [(back + 0.08, hood), (back + 0.2, roof + 0.1), (-0.06, roof + 0.1), (-0.06, hood)], 2
        ),
        polygon([(0.02, hood), (0.02, roof + 0.1), (front - 0.25, roof + 0.1), (front, hood)], 2),
    ]
    size = rng.uniform(0.19, 0.27)
    for x in (-0.52 + rng.uniform(-0.06, 0.06), 0.52 + rng.uniform(-0.06, 0.06)):
        parts += [disc(x, 0.38, size, size, 1), disc(x, 0.38, size / 2, size / 2, 3)]
    return parts


def _fish(rng: Generator) -> list[Part]:
    tall, tail = rng.uniform(0.28, 0.5), rng.uniform(0.3, 0.5)
    return [
        polygon([(0.45, 0), (0.95, -tail), (0.85, 0), (0.95, tail)], 1),
        polygon([(-0.2, -tall + 0.05), (0.1, -tall - 0.3), (0.35, -tall + 0.12)], 1),
        disc(-0.12, 0, 0.72, tall, 0),
        arc(-0.45, 0, 0.16, tall * 0.7, -PI / 2, PI / 2, 2, 0.05),
        disc(-0.6, -0.1, 0.07, 0.07, 3),
    ]


def _cup(rng: Generator) -> list[Part]:
    top, foot, high = rng.uniform(0.45, 0.6), rng.uniform(0.3, 0.5), rng.uniform(0.35, 0.6)
    parts = [
        arc(top - 0.05, 0.08, 0.36, high * 0.6, -PI / 2, PI / 2, 0, 0.13),
        polygon([(-top, -high), (top, -high), (foot, high + 0.1), (-foot, high + 0.1)], 0),
        disc(0, -high, top, rng.uniform(0.06, 0.15), 1),
    ]
    if rng.random() < 0.5:
        parts.append(rectangle(-top * 0.93, -0.1, top * 0.93, 0.12, 2))
    return parts


def _star(rng: Generator) -> list[Part]:
    inner, points = rng.uniform(0.35, 0.55), 5 if rng.random() < 0.8 else 6
    angle = np.arange(2 * points) * PI / points - PI / 2
    radius = np.where(np.arange(2 * points) % 2, 0.95 * inner, 0.95)
    corners = list(zip(radius * np.cos(angle), radius * np.sin(angle), strict=True))
    return [polygon(corners, 0)]


def _flower(rng: Generator) -> list[Part]:
    count, long = int(rng.integers(5, 9)), rng.uniform(0.2, 0.28)
    parts = [stroke([(0, -0.3), (rng.uniform(-0.15, 0.15), 0.95)], 0.08, 1)]
    parts.append(disc(0.22, 0.55, 0.22, 0.09, 1))
    for angle in np.arange(count) * 2 * PI / count + rng.uniform(0, 1):
        x, y = 0.36 * np.cos(angle), -0.35 + 0.36 * np.sin(angle)
        parts.append(disc(float(x), float(y), long, long, 0))
    return [*parts, disc(0, -0.35, 0.2, 0.2, 2)]


def _umbrella(rng: Generator) -> list[Part]:
    tall, ribs = rng.uniform(0.6, 0.85), int(rng.integers(3, 6))
    hook = rng.uniform(0.12, 0.2)
    parts = [
        stroke([(0, -0.85), (0, 0.75)], 0.07, 1),
        arc(-hook, 0.75, hook, 0.18, 0, PI, 1, 0.07),
        arc(0, 0.0, 0.9, tall, -PI, 0, 0),
    ]
    half = 0.9 / ribs
    return parts + [
        arc(-0.9 + half * (2 * k + 1), 0.02, half, 0.13, -PI, 0, 2) for k in range(ribs)
    ]


def _boat(rng: Generator) -> list[Part]:
    deck, mast = rng.uniform(0.3, 0.45), rng.uniform(-0.2, 0.15)
    parts = [
        stroke([(mast, -0.95), (mast, deck)], 0.06, 2),
        polygon([(mast + 0.06, -0.9), (mast + 0.06, deck - 0.1), (0.8, deck - 0.1)], 1),
        polygon([(-0.9, deck), (0.95, deck), (0.6, 0.8), (-0.6, 0.8)], 0),
    ]
    if rng.random() < 0.6:
        parts.append(
            polygon([(mast - 0.06, -0.7), (mast - 0.06, deck - 0.1), (-0.6, deck - 0.1)], 1)
        )
    return parts


def _key(rng: Generator) -> list[Part]:
    ring, teeth = rng.uniform(0.24, 0.36), int(rng.integers(2, 4))
    parts = [
        arc(-0.6, 0, ring, ring, 0, 2 * PI, 0, 0.14),
        stroke([(-0.6 + ring, 0), (0.92, 0)], 0.14, 0),
    ]
    for k in range(teeth):
        x = 0.85 - 0.2 * k
        parts.append(stroke([(x, 0), (x, rng.uniform(0.2, 0.38))], 0.11, 0))
    return parts


def _chair(rng: Generator) -> list[Part]:
    seat, skew, thick = rng.uniform(0.05, 0.2), rng.uniform(0.1, 0.3), rng.uniform(0.08, 0.14)
    parts = [
        stroke([(-0.5, seat), (-0.5, 0.95)], thick, 0),
        stroke([(0.42, seat), (0.42, 0.95)], thick, 0),
        stroke([(-0.5 + skew, seat - 0.1), (-0.5 + skew, 0.75)], thick, 0),
        stroke([(0.42 + skew, seat - 0.1), (0.42 + skew, 0.75)], thick, 0),
        polygon(
            [(-0.56, seat), (0.48, seat), (0.48 + skew, seat - 0.2), (-0.5 + skew, seat - 0.2)], 1
        ),
        stroke([(-0.5, seat), (-0.52, -0.9)], thick, 0),
    ]
    if rng.random() < 0.5:
        parts.append(polygon([(-0.6, -0.9), (-0.5 + skew, -0.95), (-0.5 + skew, -0.1),
                              (-0.56, -0.1)], 1))  # fmt: skip
        return parts
    return [
        *parts,
        stroke([(-0.5 + skew, seat - 0.2), (-0.5 + skew, -0.98)], thick, 0),
        stroke([(-0.52, -0.8), (-0.5 + skew, -0.88)], 0.1, 1),
        stroke([(-0.52, -0.45), (-0.5 + skew, -0.53)], 0.1, 1),
    ]


def _bird(rng: Generator) -> list[Part]:
    plump, lift = rng.uniform(0.3, 0.42), rng.uniform(-0.5, -0.3)
    return [
        stroke([(-0.08, 0.3), (-0.1, 0.85)], 0.06, 2),
        stroke([(0.12, 0.3), (0.14, 0.85)], 0.06, 2),
        polygon([(0.4, 0.0), (0.98, rng.uniform(-0.3, 0.2)), (0.9, 0.3), (0.35, 0.25)], 1),
        disc(0.02, 0.08, 0.56, plump, 0),
        disc(-0.48, lift, 0.26, 0.25, 0),
        polygon([(-0.7, lift - 0.07), (-1.0, lift + 0.04), (-0.7, lift + 0.1)], 2),
        disc(0.14, 0.05, 0.34, plump * 0.55, 1),
        disc(-0.54, lift - 0.06, 0.05, 0.05, 3),
    ]


def _clock(rng: Generator) -> list[Part]:
    size = rng.uniform(0.7, 0.85)
    hour, minute = rng.uniform(0, 2 * PI, 2)
    parts = []
    if rng.random() < 0.4:
        parts = [
            stroke([(-0.4, 0.5), (-0.6, 0.95)], 0.12, 1),
            stroke([(0.4, 0.5), (0.6, 0.95)], 0.12, 1),
            disc(-0.45, -0.75, 0.22, 0.18, 1), disc(0.45, -0.75, 0.22, 0.18, 1),
        ]  # fmt: skip
    return [
        *parts,
        disc(0, 0, size, size, 0),
        disc(0, 0, size * 0.82, size * 0.82, 2),
        stroke([(0, 0), (0.38 * np.cos(hour), 0.38 * np.sin(hour))], 0.1, 3),
        stroke([(0, 0), (0.58 * np.cos(minute), 0.58 * np.sin(minute))], 0.07, 3),
    ]


def _mushroom(rng: Generator) -> list[Part]:
    thick, brim, tall = rng.uniform(0.16, 0.3), rng.uniform(-0.1, 0.15), rng.uniform(0.6, 0.9)
    parts = [
        polygon([(-thick, brim), (thick, brim), (thick * 1.3, 0.9), (-thick * 1.3, 0.9)], 1),
        arc(0, brim, rng.uniform(0.65, 0.9), tall, -PI, 0, 0),
    ]
    dots = [x for x in (-0.4, 0.0, 0.38) if rng.random() < 0.75]
    return parts + [disc(x, brim - rng.uniform(0.15, 0.4), 0.12, 0.1, 2) for x in dots]


def _bicycle(rng: Generator) -> list[Part]:
    size, seat = rng.uniform(0.36, 0.44), rng.uniform(-0.35, -0.2)
    left, right, low = (-0.55, 0.4), (0.55, 0.4), (-0.05, 0.4)
    thick = rng.uniform(0.06, 0.09)
    return [
        arc(*left, size, size, 0, 2 * PI, 1, 0.09),
        arc(*right, size, size, 0, 2 * PI, 1, 0.09),
        stroke([left, (-0.25, seat + 0.1), (0.4, seat + 0.1), low, left], thick, 0),
        stroke([right, (0.36, seat - 0.15), (0.56, seat - 0.22)], thick, 0),
        stroke([low, (-0.3, seat - 0.05)], thick, 0),
        stroke([(-0.46, seat - 0.05), (-0.14, seat - 0.05)], 0.1, 2),
    ]


def _glasses(rng: Generator) -> list[Part]:
    wide, tall = rng.uniform(0.3, 0.4), rng.uniform(0.24, 0.38)
    rim = rng.uniform(0.07, 0.12)
    parts = []
    for x in (-0.48, 0.48):
        parts += [disc(x, 0, wide, tall, 1), arc(x, 0, wide, tall, 0, 2 * PI, 0, rim)]
    return [
        *parts,
        arc(0, 0, 0.48 - wide + 0.03, 0.12, -PI, 0, 0, rim),
        stroke([(-0.48 - wide, -0.05), (-0.98, rng.uniform(-0.4, -0.1))], rim, 0),
        stroke([(0.48 + wide, -0.05), (0.98, rng.uniform(-0.4, -0.1))], rim, 0),
    ]


THINGS: dict[str, Recipe] = {
    "bicycle": _bicycle, "bird": _bird, "boat": _boat, "car": _car, "chair": _chair,
    "clock": _clock, "cup": _cup, "fish": _fish, "flower": _flower, "glasses": _glasses,
    "house": _house, "key": _key, "mushroom": _mushroom, "star": _star, "tree": _tree,
    "umbrella": _umbrella,
}  # fmt: skip
