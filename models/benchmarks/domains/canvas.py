"""Placing a thing in the picture and rasterising its outlines; noise that the styles share.

Axes: `h` rows, `w` columns, `n` points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from models.benchmarks.domains.shapes import Part

__all__ = ["FINER", "Pose", "bend", "draw_lines", "draw_parts", "place", "shrink", "smooth_noise"]

FINER = 2  # everything is drawn at this multiple of the picture's size and averaged down


@dataclass(frozen=True)
class Pose:
    """Where and how large a thing is: `scale` and `center` as shares of the picture."""

    center: tuple[float, float]
    scale: float
    turn: float
    stretch: float
    shear: float
    mirrored: bool


def bend(parts: Sequence[Part], rng: Generator, strength: float) -> list[Part]:
    """The parts under one smooth random displacement of the plane."""
    phase = rng.uniform(0, 2 * np.pi, (2, 2))
    wave = rng.uniform(1.5, 3.5, (2, 2))
    moved = []
    for part in parts:
        x, y = part.point_n2.T
        shift = np.stack(
            [
                np.sin(wave[0, 0] * y + phase[0, 0]) + 0.6 * np.sin(wave[0, 1] * x + phase[0, 1]),
                np.sin(wave[1, 0] * x + phase[1, 0]) + 0.6 * np.sin(wave[1, 1] * y + phase[1, 1]),
            ],
            axis=1,
        )
        moved.append(replace(part, point_n2=part.point_n2 + strength * shift))
    return moved


def place(parts: Sequence[Part], pose: Pose, size: tuple[int, int]) -> list[Part]:
    """The parts in pixels of a picture of (height, width) `size`; widths become pixels too."""
    height, width = size
    unit = 0.5 * min(size) * pose.scale
    c, s = np.cos(pose.turn), np.sin(pose.turn)
    turn = np.array([[c, -s], [s, c]])
    form = np.array([[pose.stretch, pose.shear], [0, 1 / pose.stretch]])
    if pose.mirrored:
        form[:, 0] *= -1
    center = np.array([pose.center[0] * width, pose.center[1] * height])
    return [
        replace(
            part,
            point_n2=unit * part.point_n2 @ (turn @ form).T + center,
            width=part.width * unit,
        )
        for part in parts
    ]


def draw_parts(parts: Sequence[Part], size: tuple[int, int]) -> np.ndarray:
    """(h, w) uint8: 1 + the index of the front part at each pixel, 0 where there is none."""
    layer = Image.new("L", (size[1], size[0]))
    pen = ImageDraw.Draw(layer)
    for index, part in enumerate(parts, start=1):
        points = part.point_n2.ravel().tolist()
        if part.is_filled:
            pen.polygon(points, fill=index)
        else:
            pen.line(points, fill=index, width=max(1, round(part.width)), joint="curve")
    return np.array(layer)


def draw_lines(
    lines: Sequence[np.ndarray], widths: Sequence[float], size: tuple[int, int]
) -> np.ndarray:
    """(h, w) float32 ink in [0, 1] of open lines, each (n, 2) in pixels."""
    layer = Image.new("L", (size[1], size[0]))
    pen = ImageDraw.Draw(layer)
    for line, width in zip(lines, widths, strict=True):
        pen.line(line.ravel().tolist(), fill=255, width=max(1, round(width)), joint="curve")
    return np.asarray(layer, np.float32) / 255


def smooth_noise(rng: Generator, size: tuple[int, int], cells: int) -> np.ndarray:
    """(h, w) float32 in [0, 1] that varies over 1/`cells` of the picture."""
    table = Image.fromarray(rng.random((cells + 1, cells + 1), np.float32))
    return np.asarray(table.resize((size[1], size[0]), Image.Resampling.BICUBIC)).clip(0, 1)


def shrink(picture_hw3: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 picture of a float one in [0, 1] that is `FINER` times as large."""
    height, width = picture_hw3.shape[0] // FINER, picture_hw3.shape[1] // FINER
    mean: np.ndarray = picture_hw3.reshape(height, FINER, width, FINER, 3).mean(axis=(1, 3))
    return np.clip(255 * mean + 0.5, 0, 255).astype(np.uint8)
