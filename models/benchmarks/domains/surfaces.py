"""Domains that fill surfaces: photographs, paintings, clip art and infographics.

Axes: `h` rows, `w` columns, `3` colours in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter

from models.benchmarks.domains.canvas import (
    Pose,
    bend,
    draw_lines,
    draw_parts,
    place,
    smooth_noise,
)
from models.benchmarks.domains.palettes import usual_colors
from models.benchmarks.domains.shapes import Part, disc, polygon, rectangle

__all__ = ["clipart", "infograph", "painting", "real"]

TONES = 4
Size = tuple[int, int]


def real(thing: str, parts: Sequence[Part], rng: Generator, size: Size) -> np.ndarray:
    """Lit, textured and shadowed before a cluttered ground, a little out of focus, noisy."""
    placed = place(bend(parts, rng, 0.03), _pose(rng, 0.65, 0.92, 0.18), size)
    index_hw = draw_parts(placed, size)
    ground = _clutter(rng, size)
    mask = Image.fromarray(np.where(index_hw > 0, 255, 0).astype(np.uint8))
    dark = np.asarray(mask.filter(ImageFilter.BoxBlur(size[0] / 24)), np.float32) / 255
    shift = (int(size[0] * rng.uniform(0.02, 0.06)), int(size[1] * rng.uniform(-0.06, 0.06)))
    ground = ground * (1 - 0.5 * np.roll(dark, shift, (0, 1)))[..., None]
    color = _colors(rng, index_hw, placed, usual_colors(thing, rng, 0.06))
    light = 0.55 + 0.75 * _ramp(rng, size)
    grain = 0.9 + 0.2 * smooth_noise(rng, size, int(rng.integers(8, 28)))
    lit = color * (light * grain)[..., None]
    picture = np.where((index_hw > 0)[..., None], lit, ground)
    picture = _occlude(picture, rng, size)
    blur = rng.uniform(0, size[0] / 90)
    soft = _filtered(picture, ImageFilter.GaussianBlur(blur))
    return soft * rng.uniform(0.7, 1.15) + rng.normal(0, rng.uniform(0.01, 0.04), soft.shape)


def painting(thing: str, parts: Sequence[Part], rng: Generator, size: Size) -> np.ndarray:
    """Bent forms in a few loose colours, smeared along strokes on canvas."""
    placed = place(bend(parts, rng, 0.08), _pose(rng, 0.65, 0.92, 0.18), size)
    index_hw = draw_parts(placed, size)
    hue = rng.random(3)
    palette = np.clip(0.45 * hue + 0.55 * rng.random((2, 3)), 0, 1).astype(np.float32)
    ground = palette[(smooth_noise(rng, size, 4) > 0.5).astype(int)]
    # A painter sets a thing off: the ground is toned down or washed out.
    ground = 0.45 * ground + (0.55 if rng.random() < 0.5 else 0.0)
    tone = np.array([0, *(1 + p.tone for p in placed)])[index_hw]
    color = usual_colors(thing, rng, 0.15)[np.clip(tone - 1, 0, TONES - 1)]
    picture = np.where((tone > 0)[..., None], color, ground)
    picture = picture * (0.65 + 0.6 * _ramp(rng, size))[..., None]
    angle = 2 * np.pi * smooth_noise(rng, size, 3)
    reach = size[0] * rng.uniform(0.015, 0.035)
    row, column = np.indices(size)
    jitter = smooth_noise(rng, size, 40) - 0.5
    picture = picture[
        np.clip(row + reach * 2 * jitter * np.sin(angle), 0, size[0] - 1).astype(int),
        np.clip(column + reach * 2 * jitter * np.cos(angle), 0, size[1] - 1).astype(int),
    ]
    bristle = smooth_noise(rng, size, 60) - 0.5
    weave = 0.02 * (np.sin(0.9 * row) + np.sin(0.9 * column))
    canvas: np.ndarray = picture + (0.16 * bristle + weave)[..., None]
    return canvas


def clipart(_thing: str, parts: Sequence[Part], rng: Generator, size: Size) -> np.ndarray:
    """Flat vivid fills with a thick dark outline on a plain light ground."""
    placed = place(bend(parts, rng, 0.02), _pose(rng, 0.65, 0.95, 0.18), size)
    index_hw = draw_parts(placed, size)
    ground = np.ones((*size, 3), np.float32)
    if rng.random() < 0.4:
        ground *= 1 - 0.35 * rng.random(3, np.float32)
    color = _colors(rng, index_hw, placed, _vivid(rng))
    picture = np.where((index_hw > 0)[..., None], color, ground)
    if rng.random() < 0.8:
        width = size[0] * rng.uniform(0.015, 0.035)
        lines = [p.point_n2 for p in placed if p.is_filled]
        ink = draw_lines(lines, [width] * len(lines), size)
        picture = picture * (1 - ink[..., None])
    return picture


def infograph(_thing: str, parts: Sequence[Part], rng: Generator, size: Size) -> np.ndarray:
    """A small flat icon among coloured panels, bars, pies and lines of text."""
    light, accents = 0.75 + 0.25 * rng.random(3), [_vivid(rng)[0] for _ in range(4)]
    layout = _layout(rng)
    index_hw = draw_parts(place(layout, Pose((0.5, 0.5), 1.0, 0, 1, 0, False), size), size)
    table = np.array([light, *(accents[part.tone] for part in layout)], np.float32)
    picture = table[index_hw]
    center = (rng.uniform(0.35, 0.65), rng.uniform(0.35, 0.65))
    pose = Pose(center, rng.uniform(0.5, 0.68), rng.normal(0, 0.06), 1.0, 0.0, rng.random() < 0.5)
    badge = place([disc(0, 0, 1.2, 1.2, 0)], pose, size)
    if rng.random() < 0.7:
        picture[draw_parts(badge, size) > 0] = rng.choice([1.0, 0.12])
    icon = place(parts, pose, size)
    icon_hw = draw_parts(icon, size)
    inks = np.array([_vivid(rng)[0], rng.random(3) * 0.4, np.ones(3), np.full(3, 0.25)], np.float32)
    color = _colors(rng, icon_hw, icon, inks)
    return np.where((icon_hw > 0)[..., None], color, picture)


def _pose(rng: Generator, small: float, large: float, turn: float) -> Pose:
    scale = rng.uniform(small, large)
    slack = 0.45 * (1 - scale)
    center = (0.5 + rng.uniform(-slack, slack), 0.5 + rng.uniform(-slack, slack))
    stretch = float(np.exp(rng.normal(0, 0.12)))
    return Pose(center, scale, rng.normal(0, turn), stretch, rng.normal(0, 0.1), rng.random() < 0.5)


def _colors(
    rng: Generator, index_hw: np.ndarray, parts: Sequence[Part], color_t3: np.ndarray
) -> np.ndarray:
    """(h, w, 3) colour of each pixel's part by its tone, each part a shade of its own."""
    shade = rng.uniform(0.9, 1.1, len(parts)).astype(np.float32)
    table = np.array([[0, 0, 0], *(shade[k] * color_t3[p.tone] for k, p in enumerate(parts))])
    color_hw3: np.ndarray = table.astype(np.float32)[index_hw]
    return color_hw3


def _vivid(rng: Generator) -> np.ndarray:
    """(tones, 3) saturated colours."""
    color = np.stack([rng.permutation([rng.uniform(0, 0.25), rng.uniform(0.2, 0.8),
                                       rng.uniform(0.75, 1)]) for _ in range(TONES)])  # fmt: skip
    return color.astype(np.float32)


def _ramp(rng: Generator, size: Size) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    row, column = np.meshgrid(*(np.linspace(-1, 1, n) for n in size), indexing="ij")
    return np.asarray(0.5 + 0.35 * (np.cos(angle) * column + np.sin(angle) * row), np.float32)


def _clutter(rng: Generator, size: Size) -> np.ndarray:
    """A ground of blotches and a few soft shapes."""
    cells = int(rng.integers(2, 6))
    blotch = np.stack([smooth_noise(rng, size, cells) for _ in range(3)], axis=-1)
    grey = blotch.mean(axis=-1, keepdims=True)
    ground = rng.uniform(0.1, 0.7) + 0.15 * rng.random(3) + 0.3 * (0.6 * grey + 0.4 * blotch)
    shapes: list[Part] = []
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform(-1, 1, 2)
        a, b = rng.uniform(0.1, 0.5, 2)
        shapes.append(
            disc(x, y, a, b, 0)
            if rng.random() < 0.5
            else polygon([(x - a, y), (x, y - b), (x + a, y + b / 2)], 0)
        )
    pose = Pose((0.5, 0.5), 1.0, rng.uniform(0, 6), 1.0, 0.0, False)
    index_hw = draw_parts(place(shapes, pose, size), size)
    color = np.concatenate([np.zeros((1, 3)), rng.random((len(shapes), 3))]).astype(np.float32)
    share = 0.35 * (index_hw > 0)[..., None]
    return np.asarray(ground * (1 - share) + color[index_hw] * share, np.float32)


def _occlude(picture: np.ndarray, rng: Generator, size: Size) -> np.ndarray:
    """Sometimes something stands before a part of the picture."""
    if rng.random() < 0.75:
        return picture
    x, y, wide = rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0.08, 0.2)
    cover = [rectangle(x - wide, y - 0.5, x + wide, y + 0.6, 0)]
    pose = Pose((0.5, 0.5), 1.0, rng.uniform(0, 6), 1.0, 0.0, False)
    hidden = draw_parts(place(cover, pose, size), size) > 0
    picture = picture.copy()
    picture[hidden] = rng.random(3)
    return picture


def _layout(rng: Generator) -> list[Part]:
    parts = [rectangle(-1, -1, 1, rng.uniform(-0.8, -0.6), 0)]
    base = rng.uniform(0.8, 1.0)
    for k in range(int(rng.integers(2, 6))):
        left = -0.95 + 0.2 * k
        parts.append(rectangle(left, base - rng.uniform(0.1, 0.7), left + 0.14, base, k % 4))
    for k in range(int(rng.integers(3, 8))):
        y = -0.5 + 0.13 * k
        parts.append(rectangle(0.45, y, 0.45 + rng.uniform(0.15, 0.5), y + 0.05, 3))
    if rng.random() < 0.6:
        x, y = rng.uniform(-0.7, 0.7, 2)
        parts += [disc(x, y, 0.28, 0.28, 1), polygon([(x, y), (x + 0.28, y), (x, y - 0.28)], 2)]
    return parts


def _filtered(picture: np.ndarray, how: ImageFilter.Filter) -> np.ndarray:
    image = Image.fromarray(np.clip(255 * picture, 0, 255).astype(np.uint8))
    return np.asarray(image.filter(how), np.float32) / 255
