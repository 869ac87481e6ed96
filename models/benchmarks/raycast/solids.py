"""What a room is made of: textured solids, a camera and lights, as plain frozen values.

Lengths are metres. World axes: x and y along the floor, z up, the room's corner at the origin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import IntEnum

__all__ = ["Camera", "Light", "Material", "Pattern", "Point", "Scene", "Shape", "Solid"]

Point = tuple[float, float, float]


class Shape(IntEnum):
    """A solid's form inside its box of half extents: unit cube, upright cylinder or ellipsoid."""

    BOX = 0
    CYLINDER = 1
    ELLIPSOID = 2


class Pattern(IntEnum):
    """How two colours share a surface."""

    PLAIN = 0
    STRIPES = 1
    CHECKER = 2
    WOOD = 3
    CLOUDS = 4
    BRICKS = 5
    PANES = 6


@dataclass(frozen=True)
class Material:
    """A surface's look; colours are linear RGB in [0, 1], `scale_m` is the pattern's period."""

    color: Point
    second: Point
    pattern: Pattern = Pattern.PLAIN
    scale_m: float = 0.3
    gloss: float = 0.0
    emission: float = 0.0


@dataclass(frozen=True)
class Solid:
    """One convex part of a thing; parts of one thing share `instance` (numbered when placed)."""

    shape: Shape
    center: Point
    half: Point
    label: str
    material: Material
    yaw: float = 0.0
    instance: int = 0
    has_corners: bool = False
    casts_shadow: bool = True

    def placed(self, x: float, y: float, yaw: float, instance: int) -> Solid:
        """This part after its thing is turned by `yaw` about the origin and moved to (x, y)."""
        cosine, sine = math.cos(yaw), math.sin(yaw)
        own_x, own_y, own_z = self.center
        center = (x + cosine * own_x - sine * own_y, y + sine * own_x + cosine * own_y, own_z)
        return replace(self, center=center, yaw=self.yaw + yaw, instance=instance)


@dataclass(frozen=True)
class Camera:
    """A pinhole without roll; `yaw` from the x axis, `pitch` positive upwards, in radians."""

    position: Point
    yaw: float
    pitch: float
    field_of_view: float = math.radians(75.0)


@dataclass(frozen=True)
class Light:
    """A point light; `power` is the irradiance it gives at 1 m."""

    position: Point
    power: float
    color: Point = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Scene:
    """A room seen from inside. `faces` are the materials of -x, +x, -y, +y, floor, ceiling."""

    size: Point
    faces: tuple[Material, ...]
    solids: tuple[Solid, ...]
    camera: Camera
    lights: tuple[Light, ...]
    ambient: float
