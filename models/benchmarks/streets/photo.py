"""The picture of a street: sun and shadow, sky light, haze, exposure and the camera's noise.

Axes: `3` first axis of linear colour, `h` rows, `w` columns.
"""

from __future__ import annotations

import numpy as np

from models.benchmarks.raycast.cast import Hits, lit
from models.benchmarks.raycast.solids import Scene
from models.benchmarks.raycast.texture import albedo, per_pixel, surface_materials

__all__ = ["photograph"]

HAZE_M = (90.0, 400.0)


def photograph(
    scene: Scene, hits: Hits, sky_hw: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(h, w, 3) uint8; `rng` draws texture, sunshine, haze, exposure and noise."""
    reflectance = albedo(scene, hits, rng)
    sun = scene.lights[0]
    way = np.asarray(sun.position, np.float32)[:, None, None] - hits.point_3hw
    way /= np.sqrt((way * way).sum(axis=0))
    direct = np.maximum((way * hits.normal_3hw).sum(axis=0), 0) * lit(scene, hits, sun)
    strength = rng.uniform(0.1, 1.3)  # overcast to sunny
    above = scene.ambient * (0.7 + 0.3 * hits.normal_3hw[2])
    glow = per_pixel([look.emission for look in surface_materials(scene)], hits)
    tint = np.asarray(sun.color, np.float32)[:, None, None]
    light = np.maximum(above + strength * direct * tint, 1.1 * glow)
    radiance = reflectance * light
    haze = np.exp(-hits.depth_hw / rng.uniform(*HAZE_M))
    air = reflectance[:, sky_hw].mean(axis=1) if sky_hw.any() else np.full(3, 0.7, np.float32)
    radiance = radiance * haze + air[:, None, None] * (1 - haze)
    radiance[:, sky_hw] = reflectance[:, sky_hw]
    exposure = rng.uniform(0.3, 0.5) / max(float(radiance.mean()), 1e-3)
    bright = np.sqrt(1 - np.exp(-1.3 * exposure * radiance))
    bright = bright * np.exp(rng.normal(0, 0.03, 3)).astype(np.float32)[:, None, None]
    bright += rng.standard_normal(bright.shape, np.float32) * rng.uniform(0.005, 0.02)
    picture = np.clip(255 * bright + 0.5, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(picture.transpose(1, 2, 0))
