"""The procedural benchmark: determinism, disjoint splits, consistent labels."""

from __future__ import annotations

import hashlib
import time

import numpy as np
import pytest

from models.benchmarks.rooms import SPLITS, Rooms, Sample
from models.metrics import corners
from models.tasks import SEGMENTATION_CLASSES, find_task, tasks_of

TASKS = {name: find_task(name) for name in tasks_of("rooms")}

COUNT = 8


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    rooms = Rooms("val")
    return [rooms.sample(index) for index in range(COUNT)]


def _digest(sample: Sample) -> str:
    return hashlib.sha256(sample.image.tobytes()).hexdigest()


def test_a_sample_depends_only_on_split_and_index(samples: list[Sample]) -> None:
    again = Rooms("val", count=COUNT)
    for index in (3, 0):
        other = again.sample(index)
        assert np.array_equal(other.image, samples[index].image)
        for task in TASKS:
            assert np.array_equal(other.labels[task], samples[index].labels[task])


def test_splits_share_no_picture() -> None:
    digests = [_digest(Rooms(split).sample(index)) for split in SPLITS for index in range(4)]
    assert len(set(digests)) == len(digests)


def test_labels_have_the_form_of_the_tasks(samples: list[Sample]) -> None:
    for sample in samples:
        assert sample.image.shape == (96, 96, 3)
        assert sample.image.dtype == np.uint8
        assert list(sample.labels) == list(TASKS)
        for name, task in TASKS.items():
            label = sample.labels[name]
            assert label.dtype == task.answer_dtype
            assert label.shape == task.answer_shape(96, 96)
            assert task.score(label, label) == 1.0


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


def test_other_sizes_and_bad_requests() -> None:
    small = Rooms("train", size=(48, 64), count=2)
    assert len(small) == 2
    assert small.sample(1).image.shape == (48, 64, 3)
    with pytest.raises(IndexError, match="0 to 1"):
        small.sample(2)
    with pytest.raises(ValueError, match="splits: train, val, test"):
        Rooms("training")


def test_rendering_is_quick() -> None:
    rooms = Rooms("train")
    rooms.sample(0)
    start = time.process_time()
    for index in range(1, 6):
        rooms.sample(index)
    # 20 ms is the target (measured 13); the bound is loose because test machines are shared.
    assert (time.process_time() - start) / 5 < 0.06
