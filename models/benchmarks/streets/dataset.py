"""The benchmark `streets`: seeded splits of ray-cast road scenes with exact labels."""

from __future__ import annotations

import math

import numpy as np

from models.benchmarks import raycast
from models.benchmarks.raycast.cast import FACES, Hits, camera_axes, cast
from models.benchmarks.raycast.solids import Scene
from models.benchmarks.splits.interface import Sample
from models.benchmarks.splits.procedural import ProceduralBenchmark
from models.benchmarks.streets.photo import photograph
from models.benchmarks.streets.scene import Placed, sample_street
from models.tasks import MOST_BOXES, STREETS_CLASSES, find_task

__all__ = ["Streets"]

SPLITS = {"train": 2_000, "val": 200, "test": 400}
GROUND = 4  # the box's face that is no sky
LEAST_VISIBLE_PX = 10
LEAST_VISIBLE_SHARE = 0.2  # of the pixels of the box's outline


class Streets(ProceduralBenchmark):
    """A split of streets seen from a car's windscreen."""

    name = "streets"
    splits = SPLITS
    data_seed = 20_262
    native_size = (64, 128)
    shared_sources = (raycast.__file__,)

    def _render(self, index: int, rng: np.random.Generator) -> Sample:
        scene, vehicles = sample_street(rng)
        hits = cast(scene, *self.size)
        sky_hw = (hits.surface_hw < FACES) & (hits.surface_hw != GROUND)
        depth = np.where(sky_hw, 0, hits.depth_hw)
        labels = {
            "streets-segmentation": _classes(scene, hits),
            "streets-depth": depth.astype(np.float16),
            "streets-boxes": _boxes(scene, hits, vehicles),
        }
        return Sample(photograph(scene, hits, sky_hw, rng), labels)


def _classes(scene: Scene, hits: Hits) -> np.ndarray:
    faces = ["ground" if face == GROUND else "sky" for face in range(FACES)]
    names = faces + [solid.label for solid in scene.solids]
    ids = np.array([STREETS_CLASSES.index(name) for name in names], np.uint8)
    return ids[hits.surface_hw]


def _boxes(scene: Scene, hits: Hits, vehicles: tuple[Placed, ...]) -> np.ndarray:
    """Rows of `BOX_FIELDS`, nearest first, of the vehicles that can be made out.

    That is: the box's centre lies in the picture, and enough of the vehicle is not hidden.
    """
    height, width = hits.depth_hw.shape
    number_s = np.array([0] * FACES + [solid.instance for solid in scene.solids])
    seen_k = np.bincount(number_s[hits.surface_hw].ravel(), minlength=len(vehicles) + 1)
    focal = 0.5 * width / math.tan(scene.camera.field_of_view / 2)
    rows = []
    for vehicle in vehicles:
        length, wide, high = vehicle.size
        center = np.array([vehicle.x, vehicle.y, high / 2]) - np.asarray(scene.camera.position)
        right, down, forward = (camera_axes(scene.camera) @ center).tolist()
        if forward < 2 or abs(right) * focal > forward * width / 2:
            continue
        outline_px = focal**2 * high * max(wide, 0.5 * length) / forward**2
        least = min(max(LEAST_VISIBLE_PX, LEAST_VISIBLE_SHARE * outline_px), 0.1 * height * width)
        if seen_k[vehicle.instance] < least:
            continue
        front = camera_axes(scene.camera) @ [-math.sin(vehicle.yaw), math.cos(vehicle.yaw), 0]
        heading = math.atan2(front[0], front[2])
        rows.append((1.0, right, down, forward, length, wide, high, heading))
    rows = sorted(rows, key=lambda row: row[3])[:MOST_BOXES]
    task = find_task("streets-boxes")
    label = np.zeros(task.answer_shape(height, width), task.answer_dtype)
    if rows:
        label[: len(rows)] = rows
    return label
