"""Metrics and tasks: hand-made cases and properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.tasks import TASKS, Kind, find_task
from models.tasks.metrics import (
    class_iou,
    confusion,
    corner_f1,
    corners,
    depth_within_ratio,
    edge_f1,
    mean_iou,
    normals_within_angle,
)

SIZE = 12
DENSE = (Kind.CLASSES, Kind.METRES, Kind.VECTORS, Kind.CHANCES)


def _answer(name: str, rng: np.random.Generator) -> np.ndarray:
    task = TASKS[name]
    shape = task.answer_shape(SIZE, SIZE)
    if task.kind is Kind.CLASSES:
        return rng.integers(0, len(task.classes), shape).astype(np.uint8)
    if task.kind is Kind.METRES:
        return rng.uniform(0.3, 9, shape).astype(np.float16)
    if task.kind is Kind.VECTORS:
        vector = rng.standard_normal(shape)
        unit = vector / np.linalg.norm(vector, axis=-1, keepdims=True)
        stored: np.ndarray = np.rint(127 * unit).astype(np.int8)
        return stored
    if task.kind is Kind.CATEGORY:
        return rng.dirichlet(np.ones(shape[0])).astype(np.float16)
    if task.kind is Kind.BOXES:
        low, high = [0.1, -8, 0.5, 3, 3, 1.5, 1, -3], [1, 8, 2, 40, 12, 2.6, 3, 3]
        return rng.uniform(low, high, shape).astype(np.float16)
    return rng.integers(0, 256, shape).astype(np.uint8)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), task=st.sampled_from(list(TASKS)))
def test_scores_lie_in_the_unit_interval_and_perfect_is_one(seed: int, task: str) -> None:
    rng = np.random.default_rng(seed)
    answer, label = _answer(task, rng), _answer(task, rng)
    score = TASKS[task].score
    assert 0.0 <= score(answer, label) <= 1.0
    assert score(label, label) == pytest.approx(1.0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), task=st.sampled_from(list(TASKS)))
def test_rendering_gives_a_picture(seed: int, task: str) -> None:
    picture = TASKS[task].render(_answer(task, np.random.default_rng(seed)))
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    if TASKS[task].kind in DENSE:
        assert picture.shape[:2] == (SIZE, SIZE)
    assert picture.dtype == np.uint8


def test_pixels_of_all_pictures_together_count_a_rare_class_once() -> None:
    """One picture of the common class alone, one with a pixel of the rare one."""
    common, mixed = np.zeros((2, 3), np.uint8), np.array([[1, 0, 0], [0, 0, 0]], np.uint8)
    missed = np.zeros((2, 3), np.uint8)
    pairs = confusion(common, common, 3) + confusion(missed, mixed, 3)
    assert pairs.tolist() == [[11, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert class_iou(pairs).tolist() == [11 / 12, 0.0, 0.0]


def test_mean_iou_by_hand() -> None:
    label = np.array([[0, 0, 1, 1]], np.uint8)
    answer = np.array([[0, 1, 1, 2]], np.uint8)
    # Class 0: 1 of 2; class 1: 1 of 3; class 2 is not in the label.
    assert mean_iou(answer, label) == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_depth_by_hand() -> None:
    label = np.array([[1.0, 1.0, 2.0, 4.0]], np.float16)
    answer = np.array([[1.05, 0.8, 2.1, 5.0]], np.float16)
    assert depth_within_ratio(answer, label) == 0.5


def test_normals_by_hand() -> None:
    label = np.array([[[127, 0, 0], [127, 0, 0]]], np.int8)
    turn = np.radians([10.0, 13.0])
    answer = np.rint(127 * np.stack([np.cos(turn), np.sin(turn), 0 * turn], -1))[None]
    assert normals_within_angle(answer.astype(np.int8), label) == 0.5
    assert normals_within_angle(np.zeros_like(label), label) == 0.0


def test_edges_tolerate_one_pixel_and_no_more() -> None:
    label = np.zeros((9, 9), np.uint8)
    label[:, 4] = 255
    assert edge_f1(np.roll(label, 1, axis=1), label) == 1.0
    assert edge_f1(np.roll(label, 2, axis=1), label) == 0.0
    assert edge_f1(np.zeros_like(label), label) == 0.0
    assert edge_f1(np.zeros_like(label), np.zeros_like(label)) == 1.0


def test_corners_match_once_within_two_pixels() -> None:
    label = np.zeros((20, 20), np.uint8)
    label[5, 5] = label[15, 15] = 255
    near = np.zeros_like(label)
    near[5, 7] = 200
    assert corner_f1(near, label) == pytest.approx(2 * 1 / 3)
    twice = near.copy()
    twice[5, 3] = 180
    assert corner_f1(twice, label) == pytest.approx(2 * 1 / 4)
    assert corner_f1(np.zeros_like(label), label) == 0.0


def test_a_plateau_is_one_peak_and_faint_heat_is_none() -> None:
    heat = np.zeros((10, 10), np.uint8)
    heat[4:6, 4:6] = 200
    heat[1, 1] = 40
    assert corners(heat).tolist() == [[4, 4]]


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shape"):
        mean_iou(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))


def test_answer_sizes_and_unknown_task() -> None:
    sizes = {name: task.answer_bytes(96, 96) for name, task in TASKS.items()}
    assert sizes["depth"] == 2 * 96 * 96
    assert sizes["normals"] == 3 * 96 * 96
    assert sizes["sketch"] == 2 * 16
    with pytest.raises(KeyError, match=r"no task 'colour'; docs/formats.md has them all"):
        find_task("colour")
