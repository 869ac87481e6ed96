"""`rooms`: physical geometry and labels that agree with each other."""

from __future__ import annotations

import numpy as np
import pytest

from models.benchmarks.raycast.cast import cast
from models.benchmarks.raycast.solids import Camera, Material, Scene
from models.benchmarks.rooms import Rooms, Sample
from models.tasks import SEGMENTATION_CLASSES
from models.tasks.metrics import corners

COUNT = 8


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    rooms = Rooms("val")
    return [rooms.sample(index) for index in range(COUNT)]


def test_geometry_is_physical(samples: list[Sample]) -> None:
    for sample in samples:
        depth = sample.labels["depth"].astype(float)
        assert depth.min() > 0.05
        assert depth.max() < 12
        length = np.linalg.norm(sample.labels["normals"].astype(float) / 127, axis=-1)
        assert np.abs(length - 1).max() < 0.02
        assert sample.labels["segmentation"].max() < len(SEGMENTATION_CLASSES)


def test_no_visible_surface_faces_away(samples: list[Sample]) -> None:
    half = np.tan(np.radians(37.5))
    place = ((np.arange(96) - 47.5) / 48) * half
    ray = np.stack(np.broadcast_arrays(place[None, :], place[:, None], 1.0), axis=-1)
    for sample in samples:
        facing = (ray * sample.labels["normals"].astype(float)).sum(axis=-1)
        assert (facing < 2).all()


def test_floor_normals_point_up_and_depth_agrees_with_them(samples: list[Sample]) -> None:
    floor = SEGMENTATION_CLASSES.index("floor")
    for sample in samples:
        here = sample.labels["segmentation"] == floor
        if here.sum() < 50:
            continue
        normals = sample.labels["normals"][here]
        assert (normals == normals[0]).all()
        assert normals[0][1] < -60  # camera axes point down, so up is negative


def test_a_ray_along_two_walls_ends_at_the_third() -> None:
    # Yaw 0 and an odd width: the middle column's rays have no part across the room.
    across = Camera(position=(1.0, 4.5, 1.5), yaw=0.0, pitch=0.0, field_of_view=1.3)
    white = Material(color=(1, 1, 1), second=(1, 1, 1))
    empty = Scene((4.0, 9.0, 3.0), (white,) * 6, (), across, (), ambient=1.0)
    hits = cast(empty, 33, 33)
    assert hits.depth_hw[16] == pytest.approx(np.full(33, 3.0))
    assert np.isfinite(hits.point_3hw).all()


def test_edges_lie_where_classes_change(samples: list[Sample]) -> None:
    for sample in samples:
        ids = sample.labels["segmentation"]
        edges = sample.labels["edges"] > 0
        assert edges[:, :-1][ids[:, 1:] != ids[:, :-1]].all()
        assert edges[:-1][ids[1:] != ids[:-1]].all()
        assert 0 < edges.mean() < 0.3


def test_keypoints_are_isolated_peaks_near_edges(samples: list[Sample]) -> None:
    for sample in samples:
        heat = sample.labels["keypoints"]
        found = corners(heat)
        assert (heat[found[:, 0], found[:, 1]] == 255).all()
        assert len(found) == (heat == 255).sum()
