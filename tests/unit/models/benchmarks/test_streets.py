"""`streets`: labels that agree with each other and with the geometry, and the score of boxes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.benchmarks.splits.interface import Sample
from models.benchmarks.streets import Streets
from models.tasks import STREETS_CLASSES, STREETS_FIELD_OF_VIEW, find_task
from models.tasks.box_score import average_precision, detection_score, outlines

SKY, VEHICLE, ROAD = (STREETS_CLASSES.index(name) for name in ("sky", "vehicle", "road"))
CAR = (0.9, 1.0, 0.8, 12.0, 4.4, 1.8, 1.5, 0.3)


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    streets = Streets("val")
    return [streets.sample(index) for index in range(12)]


def _boxes(*rows: tuple[float, ...]) -> np.ndarray:
    label = np.zeros((16, 8), np.float16)
    label[: len(rows)] = np.array(rows).reshape(len(rows), 8)
    return label


def test_the_sky_and_only_the_sky_has_no_depth(samples: list[Sample]) -> None:
    for sample in samples:
        depth = sample.labels["streets-depth"]
        assert np.array_equal(depth == 0, sample.labels["streets-segmentation"] == SKY)
        assert depth.max() < 130


def test_the_road_is_flat_and_below_the_camera(samples: list[Sample]) -> None:
    focal = 64 / math.tan(STREETS_FIELD_OF_VIEW / 2)
    for sample in samples:
        row, column = np.nonzero(sample.labels["streets-segmentation"] == ROAD)
        depth = sample.labels["streets-depth"][row, column].astype(float)
        near = depth < 12
        down = depth[near] * (row[near] - 31.5) / focal
        assert np.ptp(down) < 0.12  # the paint and half precision's rounding
        assert 1.1 < np.median(down) < 1.7


def test_a_box_lies_where_its_vehicle_is_seen(samples: list[Sample]) -> None:
    focal = 64 / math.tan(STREETS_FIELD_OF_VIEW / 2)
    seen = 0
    for sample in samples:
        boxes = sample.labels["streets-boxes"].astype(float)
        boxes = boxes[boxes[:, 0] > 0]
        assert (np.diff(boxes[:, 3]) >= 0).all()
        for box, (left, top, right, bottom) in zip(boxes, outlines(boxes), strict=True):
            columns = slice(max(0, int(64 + focal * left)), math.ceil(64 + focal * right) + 1)
            rows = slice(max(0, int(32 + focal * top)), math.ceil(32 + focal * bottom) + 1)
            here = sample.labels["streets-segmentation"][rows, columns] == VEHICLE
            depth = sample.labels["streets-depth"][rows, columns][here].astype(float)
            near = np.abs(depth - box[3]) < 0.6 * math.hypot(box[4], box[5]) + 0.2
            assert near.sum() >= 8
            seen += 1
    assert seen >= 12


def test_every_class_is_seen_somewhere(samples: list[Sample]) -> None:
    seen = {int(k) for s in samples for k in np.unique(s.labels["streets-segmentation"])}
    assert seen == set(range(len(STREETS_CLASSES)))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_score_of_boxes_lies_in_the_unit_interval(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def some() -> np.ndarray:
        rows = rng.uniform([0.1, -8, 0.5, 3, 3, 1.5, 1, -3], [1, 8, 2, 40, 12, 2.6, 3, 3], (5, 8))
        return rows.astype(np.float16)

    answer, label = some(), some()
    assert 0 <= detection_score(answer, label) <= 1
    assert detection_score(label, label) == pytest.approx(1.0)


def test_the_score_of_boxes_by_hand() -> None:
    label = _boxes(CAR)
    assert detection_score(_boxes(), _boxes()) == 1.0
    assert detection_score(_boxes(), label) == detection_score(label, _boxes()) == 0.0
    turned = _boxes((*CAR[:7], CAR[7] + math.pi))
    assert detection_score(turned, label) == pytest.approx(2 / 3, abs=0.01)
    shallow = _boxes((*CAR[:5], 0.9 * CAR[5], *CAR[6:]))
    assert detection_score(shallow, label) == pytest.approx((1 + 0.9 + 1) / 3, abs=0.01)
    wrong = (0.95, -9.0, 0.8, 12.0, 4.4, 1.8, 1.5, 0.3)
    # A more confident box on nothing halves the precision at the first find.
    assert detection_score(_boxes(wrong, CAR), label) == pytest.approx(0.5, abs=0.01)
    assert detection_score(_boxes(CAR, CAR), label) == pytest.approx(1.0, abs=0.01)
    with pytest.raises(ValueError, match=r"\(n, 8\)"):
        detection_score(np.zeros((16, 7)), label)


def test_average_precision_by_hand() -> None:
    # Finds at ranks 1 and 3 of 2 true ones: (1 + 2/3) / 2.
    assert average_precision(np.array([True, False, True]), 2) == pytest.approx(5 / 6)


def test_depth_without_truth_is_not_scored() -> None:
    label = np.array([[0.0, 10.0]], np.float16)
    assert find_task("streets-depth").score(np.array([[55.0, 10.2]], np.float16), label) == 1.0
    assert find_task("streets-depth").score(np.array([[0.0, 20.0]], np.float16), label) == 0.0
