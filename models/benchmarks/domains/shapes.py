"""Outlines in the plane from which things are drawn: right and down are positive, a thing is
about 2 wide around the origin.

Axes: `n` points, `2` right and down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

__all__ = ["Part", "arc", "disc", "polygon", "rectangle", "stroke"]

SPACING = 0.08  # of resampled outlines, so that a bent outline bends everywhere


@dataclass(frozen=True)
class Part:
    """One filled outline, or an open stroke of some width; parts of one `tone` share a colour."""

    point_n2: np.ndarray
    tone: int
    width: float = 0.0

    @property
    def is_filled(self) -> bool:
        """Whether the outline is closed."""
        return self.width == 0.0


def polygon(points: Sequence[tuple[float, float]], tone: int) -> Part:
    """A filled polygon."""
    corner_n2 = np.array([*points, points[0]], float)
    return Part(_resample(corner_n2), tone)


def rectangle(left: float, top: float, right: float, bottom: float, tone: int) -> Part:
    """A filled upright rectangle."""
    return polygon([(left, top), (right, top), (right, bottom), (left, bottom)], tone)


def disc(x: float, y: float, radius_x: float, radius_y: float, tone: int) -> Part:
    """A filled ellipse."""
    return Part(_ellipse(x, y, radius_x, radius_y, 0, 2 * np.pi), tone)


def arc(
    x: float,
    y: float,
    radius_x: float,
    radius_y: float,
    first: float,
    last: float,
    tone: int,
    width: float = 0.0,
) -> Part:
    """Part of an ellipse between two angles (from the right, clockwise), filled if no width."""
    return Part(_ellipse(x, y, radius_x, radius_y, first, last), tone, width)


def stroke(points: Sequence[tuple[float, float]], width: float, tone: int) -> Part:
    """An open line of `width`."""
    return Part(_resample(np.array(points, float)), tone, width)


def _ellipse(x: float, y: float, rx: float, ry: float, first: float, last: float) -> np.ndarray:
    count = max(8, int(abs(last - first) * max(rx, ry) / SPACING))
    angle = np.linspace(first, last, count)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def _resample(corner_n2: np.ndarray) -> np.ndarray:
    pieces = []
    for start, end in pairwise(corner_n2):
        count = max(1, int(np.hypot(*(end - start)) / SPACING))
        share = np.arange(count)[:, None] / count
        pieces.append(start + share * (end - start))
    return np.concatenate([*pieces, corner_n2[-1:]])
