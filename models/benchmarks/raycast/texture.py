"""Procedural surface patterns: how much of a material's second colour each pixel shows.

Axes: `h` rows, `w` columns, `3` x, y, z or red, green, blue (first axis).
"""

from __future__ import annotations

import numpy as np

from models.benchmarks.raycast.cast import FACES, Hits
from models.benchmarks.raycast.solids import Material, Pattern, Scene

__all__ = ["albedo", "per_pixel", "surface_materials"]

NOISE_CELLS = 64


def surface_materials(scene: Scene) -> tuple[Material, ...]:
    """Material of each surface, indexed as `Hits.surface_hw`."""
    return (*scene.faces, *(solid.material for solid in scene.solids))


def per_pixel(values: list[float], hits: Hits) -> np.ndarray:
    """(h, w) float32 of one number per surface."""
    return np.asarray(values, np.float32)[hits.surface_hw]


def albedo(scene: Scene, hits: Hits, rng: np.random.Generator) -> np.ndarray:
    """(3, h, w) linear reflectance; `rng` draws the noise of this picture."""
    looks = surface_materials(scene)
    first = np.array([look.color for look in looks], np.float32).T[:, hits.surface_hw]
    second = np.array([look.second for look in looks], np.float32).T[:, hits.surface_hw]
    share_hw = _second_share(scene, looks, hits, rng)
    color_3hw: np.ndarray = first + (second - first) * share_hw
    return color_3hw


def _second_share(
    scene: Scene, looks: tuple[Material, ...], hits: Hits, rng: np.random.Generator
) -> np.ndarray:
    u, v = _surface_coordinates(scene, hits)
    scale = per_pixel([look.scale_m for look in looks], hits)
    u, v = u / scale, v / scale
    pattern_hw = np.array([look.pattern for look in looks])[hits.surface_hw]
    noise = rng.random((NOISE_CELLS, NOISE_CELLS), np.float32)
    share = np.zeros(u.shape, np.float32)
    for pattern in np.unique(pattern_hw):
        if pattern == Pattern.PLAIN:
            continue
        here = pattern_hw == pattern
        share[here] = _pattern(Pattern(pattern), u[here], v[here], noise)
    # A trace of cloudiness keeps plain surfaces from being perfectly flat, as real ones are not.
    cloud = 0.25 * (_smooth_noise(2 * u, 2 * v, noise) - 0.5)
    cloudy: np.ndarray = np.clip(share + cloud, 0, 1)
    return cloudy


def _surface_coordinates(scene: Scene, hits: Hits) -> tuple[np.ndarray, np.ndarray]:
    """Metres along the surface: the two axes in its plane, or arc and height when it is round."""
    x, y, z = hits.local_3hw
    normal = np.abs(hits.local_normal_3hw)
    flat = normal.max(axis=0) > 0.999
    across = normal[0] > 0.5
    upward = normal[2] > 0.999
    half_x = per_pixel([1.0] * FACES + [s.half[0] for s in scene.solids], hits)
    u = np.where(flat, np.where(across & ~upward, y, x), np.arctan2(y, x) * half_x)
    v = np.where(flat & upward, y, z)
    return u, v


def _pattern(pattern: Pattern, u: np.ndarray, v: np.ndarray, noise: np.ndarray) -> np.ndarray:
    if pattern is Pattern.STRIPES:
        stripe: np.ndarray = np.mod(u, 1) < 0.5
        return stripe.astype(np.float32)
    if pattern is Pattern.CHECKER:
        field: np.ndarray = (np.floor(u) + np.floor(v)) % 2
        return field.astype(np.float32)
    if pattern is Pattern.WOOD:
        plank = np.floor(v * 2)
        tone = noise[plank.astype(int) % NOISE_CELLS, 0]
        grain = _smooth_noise(0.8 * u + 7 * plank, 12 * v, noise)
        gap = np.mod(v * 2, 1) < 0.06
        wood: np.ndarray = np.clip(0.7 * tone + 0.5 * grain + gap, 0, 1)
        return wood
    if pattern is Pattern.BRICKS:
        row = np.floor(v * 2)
        mortar = (np.mod(v * 2, 1) < 0.12) | (np.mod(u + 0.5 * (row % 2), 1) < 0.06)
        return np.where(mortar, 1, 0.3 * _smooth_noise(u + 3 * row, 2 * v, noise))
    if pattern is Pattern.PANES:
        return ((np.mod(u + 0.04, 1) < 0.1) | (np.mod(v + 0.04, 1) < 0.1)).astype(np.float32)
    return _smooth_noise(3 * u, 3 * v, noise)


def _smooth_noise(u: np.ndarray, v: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Bilinear lookup in a tiled table of random numbers, one cell a unit."""
    column, row = np.floor(u), np.floor(v)
    right, down = u - column, v - row
    c0 = column.astype(np.int32) % NOISE_CELLS
    r0 = row.astype(np.int32) % NOISE_CELLS
    c1, r1 = (c0 + 1) % NOISE_CELLS, (r0 + 1) % NOISE_CELLS
    top = noise[r0, c0] * (1 - right) + noise[r0, c1] * right
    bottom = noise[r1, c0] * (1 - right) + noise[r1, c1] * right
    value: np.ndarray = top * (1 - down) + bottom * down
    return value
