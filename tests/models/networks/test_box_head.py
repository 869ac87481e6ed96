"""Boxes out of a dense map: fitting the map to labels by its loss brings the labels back."""

from __future__ import annotations

import numpy as np
import torch

from models.benchmarks.streets import Streets
from models.networks.box_head import RAW_CHANNELS, boxes_loss, decode_boxes
from models.tasks import Kind, find_task
from models.tasks.box_score import detection_score
from models.training.training_batches import flip

TASK = find_task("streets-boxes")


def _labels(count: int) -> np.ndarray:
    streets = Streets("val")
    return np.stack([streets.sample(index).labels["streets-boxes"] for index in range(count)])


def test_the_least_loss_decodes_to_the_labels() -> None:
    label = _labels(4)
    raw = torch.zeros(4, RAW_CHANNELS, 16, 32)
    raw[:, 0] = -4
    raw.requires_grad_()
    optimizer = torch.optim.Adam([raw], lr=0.1)
    for _ in range(250):
        loss = boxes_loss(raw, torch.from_numpy(label), TASK)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    answer = decode_boxes(raw.detach(), TASK).numpy()
    assert answer.shape == label.shape
    assert answer.dtype == label.dtype
    scores = [detection_score(a, truth) for a, truth in zip(answer, label, strict=True)]
    assert np.mean(scores) > 0.9


def test_a_picture_without_vehicles_only_wants_no_heat() -> None:
    raw = torch.zeros(1, RAW_CHANNELS, 16, 32, requires_grad=True)
    boxes_loss(raw, torch.zeros(1, *TASK.answer_shape(64, 128)), TASK).backward()
    assert raw.grad is not None
    assert (raw.grad[:, 0] > 0).all()
    assert (raw.grad[:, 1:] == 0).all()


def test_a_flip_mirrors_place_and_heading() -> None:
    label = _labels(2)
    mirrored = flip(Kind.BOXES, label)
    assert np.array_equal(mirrored[..., 1], -label[..., 1])
    assert np.array_equal(mirrored[..., 7], -label[..., 7])
    assert np.array_equal(flip(Kind.BOXES, mirrored), label)
