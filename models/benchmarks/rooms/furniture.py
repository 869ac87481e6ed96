"""Things that stand in a room, each built around the origin of the floor with its front to +y."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from models.benchmarks.raycast.solids import Material, Pattern, Point, Shape, Solid

__all__ = ["AGAINST_WALL", "FREE_STANDING", "Builder", "color", "material", "on_top", "opening"]

Builder = Callable[[np.random.Generator], tuple[Solid, ...]]


def color(rng: np.random.Generator, low: float = 0.1, high: float = 0.85) -> Point:
    """A random colour, more often muted than vivid."""
    grey = rng.uniform(low, high)
    tint = rng.uniform(low, high, 3)
    vivid = rng.beta(1.5, 1.2)
    mixed = (1 - vivid) * grey + vivid * tint
    return (float(mixed[0]), float(mixed[1]), float(mixed[2]))


def material(
    rng: np.random.Generator, *patterns: Pattern, gloss: float = 0.0, emission: float = 0.0
) -> Material:
    """A material with one of `patterns` (plain if none) in two related colours."""
    first = color(rng)
    factor = rng.uniform(0.5, 0.9)
    second = (
        (first[0] * factor, first[1] * factor, first[2] * factor)
        if rng.random() < 0.7
        else color(rng)
    )
    pattern = Pattern(int(rng.choice([int(p) for p in patterns]))) if patterns else Pattern.PLAIN
    scale_m = float(np.exp(rng.uniform(math.log(0.12), math.log(0.6))))
    return Material(first, second, pattern, scale_m, gloss, emission)


def _box(center: Point, half: Point, label: str, look: Material, corners: bool = False) -> Solid:
    return Solid(Shape.BOX, center, half, label, look, has_corners=corners)


def _cabinet(rng: np.random.Generator) -> tuple[Solid, ...]:
    width, deep = rng.uniform(0.5, 1.3), rng.uniform(0.38, 0.6)
    height = rng.choice([rng.uniform(0.5, 0.9), rng.uniform(1.5, 2.1)])
    look = material(rng, Pattern.PLAIN, Pattern.WOOD, Pattern.STRIPES, Pattern.PANES, gloss=0.2)
    return (_box((0, 0, height / 2), (width / 2, deep / 2, height / 2), "cabinet", look, True),)


def _legs(half_x: float, half_y: float, height: float, label: str, look: Material) -> list[Solid]:
    thick = 0.03
    return [
        _box((x, y, height / 2), (thick, thick, height / 2), label, look)
        for x in (-half_x + thick, half_x - thick)
        for y in (-half_y + thick, half_y - thick)
    ]


def _table(rng: np.random.Generator) -> tuple[Solid, ...]:
    half_x, half_y = rng.uniform(0.4, 0.85), rng.uniform(0.35, 0.5)
    height = rng.choice([0.45, rng.uniform(0.68, 0.8)])
    look = material(rng, Pattern.PLAIN, Pattern.WOOD, Pattern.CLOUDS, gloss=0.35)
    if rng.random() < 0.25:
        top = Solid(
            Shape.CYLINDER, (0, 0, height - 0.03), (half_y + 0.1, half_y + 0.1, 0.03), "table", look
        )
        foot = Solid(
            Shape.CYLINDER, (0, 0, height / 2 - 0.03), (0.06, 0.06, height / 2 - 0.03),
            "table", look,
        )  # fmt: skip
        return (top, foot)
    top = _box((0, 0, height - 0.03), (half_x, half_y, 0.03), "table", look, True)
    return (top, *_legs(half_x, half_y, height - 0.06, "table", look))


def _sofa(rng: np.random.Generator) -> tuple[Solid, ...]:
    half_x, half_y = rng.uniform(0.5, 1.0), rng.uniform(0.38, 0.46)
    back, arm = rng.uniform(0.7, 0.9), rng.uniform(0.5, 0.62)
    look = material(rng, Pattern.PLAIN, Pattern.CLOUDS, Pattern.STRIPES, Pattern.CHECKER)
    return (
        _box((0, 0, 0.21), (half_x, half_y, 0.21), "seat", look, True),
        _box((0, -half_y + 0.1, back / 2), (half_x, 0.1, back / 2), "seat", look, True),
        _box((-half_x + 0.08, 0, arm / 2), (0.08, half_y, arm / 2), "seat", look, True),
        _box((half_x - 0.08, 0, arm / 2), (0.08, half_y, arm / 2), "seat", look, True),
    )


def _chair(rng: np.random.Generator) -> tuple[Solid, ...]:
    half, back = rng.uniform(0.2, 0.25), rng.uniform(0.8, 1.0)
    look = material(rng, Pattern.PLAIN, Pattern.WOOD, Pattern.STRIPES)
    return (
        _box((0, 0, 0.45), (half, half, 0.03), "seat", look, True),
        _box((0, -half + 0.02, (back + 0.45) / 2), (half, 0.02, (back - 0.45) / 2),
             "seat", look, True),
        *_legs(half, half, 0.42, "seat", look),
    )  # fmt: skip


def _lamp(rng: np.random.Generator) -> tuple[Solid, ...]:
    height, radius = rng.uniform(1.2, 1.7), rng.uniform(0.14, 0.24)
    pole = material(rng, gloss=0.4)
    warm = (1.0, rng.uniform(0.82, 0.95), rng.uniform(0.55, 0.85))
    shade = Material(warm, warm, emission=rng.uniform(0.5, 0.9))
    shape = Shape.CYLINDER if rng.random() < 0.6 else Shape.ELLIPSOID
    tall = rng.uniform(0.12, 0.2)
    return (
        Solid(Shape.CYLINDER, (0, 0, 0.02), (0.16, 0.16, 0.02), "lamp", pole),
        Solid(Shape.CYLINDER, (0, 0, height / 2), (0.022, 0.022, height / 2), "lamp", pole),
        Solid(shape, (0, 0, height), (radius, radius, tall), "lamp", shade),
    )


def _ball(rng: np.random.Generator) -> tuple[Solid, ...]:
    radius = rng.uniform(0.14, 0.38)
    look = material(rng, Pattern.PLAIN, Pattern.STRIPES, Pattern.CHECKER, gloss=0.5)
    return (Solid(Shape.ELLIPSOID, (0, 0, radius), (radius, radius, radius), "ball", look),)


def _cylinder(rng: np.random.Generator) -> tuple[Solid, ...]:
    radius = rng.uniform(0.14, 0.34)
    height = rng.choice([rng.uniform(0.3, 0.6), rng.uniform(0.7, 1.3)])
    look = material(rng, Pattern.PLAIN, Pattern.STRIPES, Pattern.CLOUDS, Pattern.BRICKS, gloss=0.2)
    half = (radius, radius, height / 2)
    return (Solid(Shape.CYLINDER, (0, 0, height / 2), half, "cylinder", look),)


def on_top(rng: np.random.Generator, support: Solid) -> Solid:
    """A small thing standing on the upper face of `support`, in the same frame."""
    x = rng.uniform(-0.5, 0.5) * support.half[0]
    y = rng.uniform(-0.5, 0.5) * support.half[1]
    z = support.center[2] + support.half[2]
    radius, height = rng.uniform(0.07, 0.13), rng.uniform(0.1, 0.2)
    look = material(rng, Pattern.PLAIN, Pattern.STRIPES, gloss=0.4)
    if rng.random() < 0.5:
        return Solid(Shape.ELLIPSOID, (x, y, z + radius), (radius,) * 3, "ball", look)
    half = (0.7 * radius, 0.7 * radius, height)
    return Solid(Shape.CYLINDER, (x, y, z + height), half, "cylinder", look)


def opening(rng: np.random.Generator, label: str, room_height_m: float) -> Solid:
    """A door or window as a thin slab in the plane y = 0, ready to be placed on a wall."""
    if label == "door":
        half_x, half_z = rng.uniform(0.4, 0.5), rng.uniform(1.0, 1.05)
        look = material(rng, Pattern.PLAIN, Pattern.WOOD, Pattern.PANES, gloss=0.2)
        center_z = half_z
    else:
        half_x, half_z = rng.uniform(0.4, 1.0), rng.uniform(0.4, 0.65)
        sky = (rng.uniform(0.55, 0.85), rng.uniform(0.7, 0.95), 1.0)
        frame = color(rng, 0.3, 0.9)
        look = Material(sky, frame, Pattern.PANES, rng.uniform(0.4, 0.7), 0, rng.uniform(0.6, 1.0))
        center_z = min(rng.uniform(1.35, 1.6), room_height_m - half_z - 0.15)
    half = (float(half_x), 0.03, float(half_z))
    return Solid(
        Shape.BOX, (0.0, 0.0, float(center_z)), half, label, look,
        has_corners=True, casts_shadow=False,
    )  # fmt: skip


# Builder, share of things drawn, radius of the floor it needs in metres.
AGAINST_WALL: tuple[tuple[Builder, float], ...] = ((_cabinet, 0.6), (_sofa, 0.4))
FREE_STANDING: tuple[tuple[Builder, float], ...] = (
    (_table, 0.3), (_chair, 0.22), (_lamp, 0.16), (_ball, 0.16), (_cylinder, 0.16),
)  # fmt: skip
