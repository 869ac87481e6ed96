"""From hits to a photograph: light, shadow, gloss, exposure and the camera's own noise.

Axes: `h` rows, `w` columns, `3` first axis of linear colour, last axis of the finished image.
"""

from __future__ import annotations

import numpy as np

from models.benchmarks.raycast.cast import Hits, lit
from models.benchmarks.raycast.solids import Light, Scene
from models.benchmarks.raycast.texture import albedo, per_pixel, surface_materials

__all__ = ["photograph"]

SHADOWED_LIGHTS = 1  # the ceiling light; the weak lamps are not traced


def photograph(scene: Scene, hits: Hits, rng: np.random.Generator) -> np.ndarray:
    """(h, w, 3) uint8 picture of the scene; `rng` draws texture, exposure and sensor noise."""
    looks = surface_materials(scene)
    reflectance = albedo(scene, hits, rng)
    gloss = per_pixel([look.gloss for look in looks], hits)
    to_eye = np.asarray(scene.camera.position, np.float32)[:, None, None] - hits.point_3hw
    to_eye /= np.sqrt((to_eye * to_eye).sum(axis=0))
    # Light from above and from bright walls stands in for interreflection.
    irradiance = np.broadcast_to(
        scene.ambient * (0.75 + 0.25 * hits.normal_3hw[2]), reflectance.shape
    ).copy()
    shine = np.zeros_like(irradiance)
    for index, light in enumerate(scene.lights):
        shadow = lit(scene, hits, light) if index < SHADOWED_LIGHTS else None
        diffuse, specular = _reflect(hits, light, to_eye, gloss)
        if shadow is not None:
            diffuse *= shadow
            specular *= shadow
        tint = np.asarray(light.color, np.float32)[:, None, None]
        irradiance += tint * diffuse
        shine += tint * specular
    glow = per_pixel([look.emission for look in looks], hits)
    radiance = reflectance * np.maximum(irradiance, 1.2 * glow) + shine
    return _develop(radiance, rng)


def _reflect(
    hits: Hits, light: Light, to_eye: np.ndarray, gloss: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    way = np.asarray(light.position, np.float32)[:, None, None] - hits.point_3hw
    square = (way * way).sum(axis=0)
    way /= np.sqrt(square)
    power = light.power / (1 + square)
    facing = np.maximum((way * hits.normal_3hw).sum(axis=0), 0)
    half = way + to_eye
    half /= np.sqrt((half * half).sum(axis=0)) + 1e-6
    glint = np.maximum((half * hits.normal_3hw).sum(axis=0), 0)
    glint **= 32
    return power * facing, gloss * power * glint


def _develop(radiance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exposure to a drawn mean, white balance, soft clip, gamma, then shot and read noise."""
    balance = np.exp(rng.normal(0, 0.05, 3)).astype(np.float32)[:, None, None]
    radiance = radiance * balance
    exposure = rng.uniform(0.24, 0.4) / max(float(radiance.mean()), 1e-3)
    exposed = 1 - np.exp(-1.3 * exposure * radiance)
    bright = np.sqrt(exposed)  # gamma 2, close to sRGB and far cheaper than a power
    level = rng.uniform(0.008, 0.025)
    noise = rng.standard_normal(bright.shape, np.float32) * level
    bright = bright + noise * (0.6 + 0.4 * bright)
    return np.ascontiguousarray(
        np.clip(255 * bright + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    )
