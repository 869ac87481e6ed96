"""Domains made of lines: pencil sketches and twenty-second doodles.

Axes: `h` rows, `w` columns, `n` points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from models.benchmarks.domains.canvas import (
    Pose,
    bend,
    draw_lines,
    draw_parts,
    place,
    smooth_noise,
)
from models.benchmarks.domains.shapes import Part

__all__ = ["quickdraw", "sketch"]

Size = tuple[int, int]


def sketch(_thing: str, parts: Sequence[Part], rng: Generator, size: Size) -> np.ndarray:
    """Grey strokes drawn twice or thrice, hatched tones, on paper with grain."""
    pose = _pose(rng, 0.65, 0.92)
    ink = np.zeros(size, np.float32)
    for _ in range(int(rng.integers(2, 4))):
        placed = place(bend(parts, rng, rng.uniform(0.01, 0.05)), pose, size)
        lines = [part.point_n2 for part in placed]
        thick = size[0] / 110
        widths = [max(thick, part.width * 0.5) for part in placed]
        ink = np.maximum(ink, rng.uniform(0.4, 0.85) * draw_lines(lines, widths, size))
    index_hw = draw_parts(place(parts, pose, size), size)
    tone = np.array([-1, *(part.tone for part in parts)])[index_hw]
    row, column = np.indices(size)
    angle, pitch = rng.uniform(0, np.pi), size[0] / rng.uniform(18, 32)
    hatch = np.sin(2 * np.pi * (np.cos(angle) * column + np.sin(angle) * row) / pitch) > 0.5
    ink = np.maximum(ink, 0.4 * (hatch & np.isin(tone, rng.permutation(4)[:2])))
    ink *= 0.55 + 0.6 * smooth_noise(rng, size, 50)
    paper = rng.uniform(0.8, 1.0) - 0.1 * smooth_noise(rng, size, 30)
    return np.repeat((paper * (1 - ink))[..., None], 3, axis=2)


def quickdraw(_thing: str, parts: Sequence[Part], rng: Generator, size: Size) -> np.ndarray:
    """A few wobbly corners joined by one thin black line a part; parts get lost or drift."""
    pose = _pose(rng, 0.65, 0.95)
    kept = [part for k, part in enumerate(parts) if k == 0 or rng.random() < 0.85]
    placed = place(bend(kept, rng, 0.07), pose, size)
    unit = 0.5 * min(size) * pose.scale
    lines = []
    for part in placed:
        step = max(1, int(rng.integers(2, 5)) if len(part.point_n2) > 8 else 1)
        line = part.point_n2[::step]
        if step > 1 and part.is_filled:
            line = np.concatenate([line, part.point_n2[-1:]])
        drift = rng.normal(0, 0.05 * unit, 2)
        lines.append(line + drift + rng.normal(0, 0.025 * unit, line.shape))
    ink = draw_lines(lines, [size[0] / 64 + 1] * len(lines), size)
    return np.repeat(1 - ink[..., None], 3, axis=2)


def _pose(rng: Generator, small: float, large: float) -> Pose:
    scale = rng.uniform(small, large)
    slack = 0.45 * (1 - scale)
    center = (0.5 + rng.uniform(-slack, slack), 0.5 + rng.uniform(-slack, slack))
    stretch = float(np.exp(rng.normal(0, 0.15)))
    return Pose(center, scale, rng.normal(0, 0.15), stretch, rng.normal(0, 0.1), rng.random() < 0.5)
