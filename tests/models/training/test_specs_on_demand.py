"""Models that do not ship: data sets on disk by the same command, and large networks for GPUs."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

import models.networks.pretrained as pretrained
from models.networks.architectures import LARGE, Architecture
from models.networks.multi_task import build_network
from models.networks.pretrained import PretrainedError, load_pretrained
from models.scoring.real_scores import common_classes, score_on_disk
from models.tasks import find_task, tasks_of
from models.tasks.class_lists import DOMAINNET_CLASSES, OFFICE_HOME_CLASSES
from models.training.specs import SPECS
from models.training.specs_on_demand import find_trainable, is_shipped, large_specs, trainable_of
from models.training.train import train_model
from models.zoo.registry import list_models


def test_any_benchmark_size_and_task_is_a_name() -> None:
    spec = find_trainable("pacs-small-art-painting")
    assert (spec.benchmark, spec.size_class, spec.tasks) == (
        "pacs", "small", ("pacs-art-painting",),
    )  # fmt: skip
    assert find_trainable("office-home-large-all").tasks == tasks_of("office-home")
    assert find_trainable("rooms-convnext-base-depth").architecture == LARGE["convnext-base"]
    assert find_trainable("domainnet-resnet50-real").tasks == ("domainnet-real",)
    assert find_trainable("rooms-small-all") is SPECS["rooms-small-all"]
    assert [spec.name for spec in trainable_of("cityscapes3d")] == [
        f"cityscapes3d-{size}-all" for size in ("middle", "small", "large")
    ]
    assert len(trainable_of(None)) == len(SPECS)
    for name in ("pacs-tiny-all", "pacs-small-depth", "halls-small-all"):
        with pytest.raises(KeyError, match=r"near names|testbed train --list"):
            find_trainable(name)


def test_what_has_not_been_trained_is_no_model() -> None:
    names = {spec.name for spec in large_specs()}
    assert len(names) == 3 * len(LARGE)
    assert not names & {card.name for card in list_models()}
    assert not names & set(SPECS)
    assert not any(is_shipped(spec) for spec in large_specs())
    assert not is_shipped(replace(SPECS["rooms-small-all"], steps=1))


@pytest.mark.parametrize("size_class", LARGE)
def test_large_networks_run_forward(size_class: str) -> None:
    """Random weights, tiny pictures, a dense head and one for the whole picture."""
    # The largest is only walked through: drawing its random weights takes seconds.
    with torch.device("meta" if size_class == "convnext-base" else "cpu"):
        network = build_network(LARGE[size_class], ("normals", "real")).eval()
        with torch.inference_mode():
            dense, whole = network(torch.zeros(2, 3, 32, 64))
    assert dense.shape == (2, 3, 32, 64)
    assert whole.shape == (2, 16)


LITTLE = "mobilenetv4_conv_small_050.e3000_r224_in1k"


def test_hub_weights_fill_the_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    source = timm.create_model(LITTLE, pretrained=False)
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr(pretrained, "hub_weights", lambda _: tmp_path / "model.safetensors")
    architecture = Architecture(LITTLE, 16, 4, False, "hub:" + LITTLE)
    network = build_network(architecture, ["depth"])
    load_pretrained(network.backbone, architecture)
    wanted = source.state_dict()["conv_stem.weight"]
    assert torch.equal(network.backbone.state_dict()["conv_stem.weight"], wanted)
    save_file({"nothing": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(PretrainedError, match=r"model.safetensors: not the weights of"):
        load_pretrained(network.backbone, architecture)


def test_without_the_hub_the_missing_weights_are_named_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise httpx.ConnectError("no way there")

    monkeypatch.setattr(httpx, "head", unreachable)
    monkeypatch.setattr(pretrained, "hub_weights", lambda _: None)
    started_s = time.monotonic()
    with pytest.raises(PretrainedError, match=r"hf download timm/resnet50.a1_in1k") as caught:
        load_pretrained(torch.nn.Identity(), LARGE["resnet50"])
    assert time.monotonic() - started_s < 2
    assert "models--timm--resnet50.a1_in1k" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def pacs(tmp_path: Path) -> Path:
    """Photos and sketches of dogs and houses, told apart by colour."""
    rng = np.random.default_rng(0)
    for domain in ("photo", "sketch"):
        for class_name, red in (("dog", 40), ("house", 220)):
            folder = tmp_path / "pacs" / domain / class_name
            folder.mkdir(parents=True)
            for index in range(25):
                picture = rng.integers(0, 40, (40, 40, 3)).astype(np.uint8)
                picture[..., 0] = red
                Image.fromarray(picture).save(folder / f"pic_{index:03d}.jpg")
    return tmp_path / "pacs"


def test_a_data_set_on_disk_is_trained_and_scored_by_the_same_code(
    pacs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    spec = replace(
        find_trainable("pacs-small-all"), steps=4, batch=8, size=(32, 32), train_images=30
    )
    zoo = tmp_path / "zoo"
    card = train_model(spec, out_dir=zoo, data=pacs)
    assert set(card.metrics) == {"pacs-photo", "pacs-sketch"}
    monkeypatch.setenv("J3O_ZOO", str(zoo))
    rows = score_on_disk(card, "pacs", pacs)
    assert {row.task: row.score for row in rows} == pytest.approx(
        {task: metric.value for task, metric in card.metrics.items()}, abs=1e-4
    )
    with pytest.raises(ValueError, match="not read from disk"):
        score_on_disk(card, "rooms", pacs)


def test_a_model_of_domains_is_tried_on_the_things_it_knows(
    pacs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    mine = find_task("real").classes
    shared = common_classes(mine, DOMAINNET_CLASSES)
    assert {mine[k] for k in shared.values()} >= {"bicycle", "boat", "glasses", "umbrella"}
    assert mine[common_classes(mine, OFFICE_HOME_CLASSES)[OFFICE_HOME_CLASSES.index("Bike")]] == (
        "bicycle"
    )
    spec = replace(
        SPECS["domains-small-real"], name="domains-mine", steps=2, batch=4, train_images=24,
        test_images=12, size=(32, 32),
    )  # fmt: skip
    card = train_model(spec, out_dir=tmp_path / "zoo")
    monkeypatch.setenv("J3O_ZOO", str(tmp_path / "zoo"))
    rows = score_on_disk(card, "pacs", pacs)
    # Houses only: PACS's dogs are not among the sixteen things.
    assert {(row.task, row.domain, row.classes) for row in rows} <= {
        ("real", "pacs-photo", 1), ("real", "pacs-sketch", 1),
    }  # fmt: skip
    assert all(0 < row.images < 25 for row in rows)
