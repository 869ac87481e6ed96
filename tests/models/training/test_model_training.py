"""Training on a handful of pictures: repeatable, resumable to the bit, and it writes a card."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import models.training.train as training
from models.benchmarks.rooms import Rooms
from models.benchmarks.splits.rendered import rendered_split
from models.networks.architectures import ARCHITECTURES
from models.runtime.model_runtime import ModelRuntime
from models.tasks import Kind
from models.tasks.metrics import normals_within_angle
from models.training.specs import TrainingSpec
from models.training.train import TrainingProgress, learning_rate, optimise, train_model
from models.training.training_batches import batch_indices, draw_batch, flip
from models.zoo.cards import ModelCard


class _InterruptedError(Exception):
    pass


def test_training_writes_a_card_whose_checkpoint_loads(
    tiny_spec: TrainingSpec, tmp_path: Path
) -> None:
    seen: list[TrainingProgress] = []
    card = train_model(tiny_spec, out_dir=tmp_path / "zoo", on_progress=seen.append)
    assert {progress.stage for progress in seen} == {"render", "train", "score"}
    assert seen[-1].done == seen[-1].total == tiny_spec.test_images
    written = ModelCard.load(tmp_path / "zoo" / "cards" / f"{tiny_spec.name}.yaml")
    assert written == card
    assert set(card.metrics) == {"depth", "normals"}
    checkpoint = tmp_path / "zoo" / "checkpoints" / card.checkpoint
    runtime = ModelRuntime.load(card, checkpoint=checkpoint)
    assert runtime.run(np.zeros((2, 32, 32, 3), np.uint8))["depth"].shape == (2, 32, 32)
    again = train_model(tiny_spec, out_dir=tmp_path / "again")
    assert again.checkpoint_sha256 == card.checkpoint_sha256
    assert not list((tmp_path / "cache").glob("j3o-testbed/training/*"))


def test_a_resumed_run_is_the_same_to_the_bit(
    tiny_spec: TrainingSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SAVE_EVERY_STEPS", 2)
    spec = dataclasses.replace(tiny_spec, steps=5)
    split = rendered_split(Rooms("train", spec.size, spec.train_images))
    whole = optimise(spec, split, None, lambda _: None).state_dict()
    state = tmp_path / "state.safetensors"

    def stop(progress: TrainingProgress) -> None:
        if progress.done == 3:
            raise _InterruptedError

    with pytest.raises(_InterruptedError):
        optimise(spec, split, state, stop)
    steps: list[int] = []
    resumed = optimise(spec, split, state, lambda p: steps.append(p.done)).state_dict()
    assert steps == [3, 4, 5]
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    # Another spec must not continue this one's state.
    other = dataclasses.replace(spec, seed=99, steps=1)
    steps.clear()
    optimise(other, split, state, lambda p: steps.append(p.done))
    assert steps == [1]


def test_the_state_of_a_network_since_changed_starts_over(
    tiny_spec: TrainingSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SAVE_EVERY_STEPS", 1)
    split = rendered_split(Rooms("train", tiny_spec.size, tiny_spec.train_images))
    spec, state = dataclasses.replace(tiny_spec, steps=1), tmp_path / "state.safetensors"
    optimise(spec, split, state, lambda _: None)
    size_class = (spec.benchmark, spec.size_class)
    wider = dataclasses.replace(ARCHITECTURES[size_class], width=8)
    monkeypatch.setitem(ARCHITECTURES, size_class, wider)
    steps: list[int] = []
    optimise(spec, split, state, lambda p: steps.append(p.done))
    assert steps == [1]


def test_a_damaged_state_starts_over(tiny_spec: TrainingSpec, tmp_path: Path) -> None:
    split = rendered_split(Rooms("train", tiny_spec.size, tiny_spec.train_images))
    state = tmp_path / "state.safetensors"
    state.write_bytes(b"not a state")
    steps: list[int] = []
    optimise(dataclasses.replace(tiny_spec, steps=1), split, state, lambda p: steps.append(p.done))
    assert steps == [1]


def test_batches_visit_every_picture_once_an_epoch(tiny_spec: TrainingSpec) -> None:
    order = np.concatenate([batch_indices(10, 3, step, 4) for step in range(5)])
    assert sorted(order[:10]) == sorted(order[10:]) == list(range(10))
    assert not np.array_equal(order[:10], order[10:])
    split = rendered_split(Rooms("train", tiny_spec.size, tiny_spec.train_images))
    batch = draw_batch(split, ("depth",), 3, 7, 4)
    assert torch.equal(batch.image, draw_batch(split, ("depth",), 3, 7, 4).image)
    assert batch.image.shape == (4, 32, 32, 3)
    assert batch.labels["depth"].shape == (4, 32, 32)
    assert batch.rows == {}


def test_a_flip_mirrors_pixels_and_turns_normals() -> None:
    label = Rooms("val", (32, 32)).sample(0).labels["normals"][None]
    mirrored = flip(Kind.VECTORS, label)
    assert np.array_equal(mirrored[0, :, 0, 0], -label[0, :, -1, 0])
    assert np.array_equal(mirrored[0, :, 0, 1:], label[0, :, -1, 1:])
    assert normals_within_angle(flip(Kind.VECTORS, mirrored)[0], label[0]) == 1.0


def test_the_learning_rate_warms_up_and_dies_down(tiny_spec: TrainingSpec) -> None:
    spec = dataclasses.replace(tiny_spec, steps=100)
    rates = [learning_rate(spec, step) for step in range(100)]
    assert max(rates) == pytest.approx(spec.learning_rate)
    assert rates[0] < 0.3 * max(rates)
    assert rates[-1] < 0.03 * max(rates)
