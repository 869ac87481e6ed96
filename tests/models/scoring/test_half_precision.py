"""Half precision is served where it costs no accuracy, by the labels of the test split."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gpu_engines import HostAccelerator
from models.benchmarks.registry import open_benchmark
from models.runtime.cpu_engine import Serving
from models.runtime.graph_engine import Answering, GraphEngine
from models.runtime.model_runtime import ModelRuntime
from models.scoring.half_precision import MOST_LOST, HalfPrecisionCheck, half_precision_check
from models.zoo.assembly import load_network
from models.zoo.registry import find_model
from serving.deploy.node_models import precision_check

CARD = find_model("rooms-small-geometry")
SIZE = (CARD.preprocessing.height, CARD.preprocessing.width)


class Coarse(nn.Module):
    """Its maps have the resolution that is left beside a large number in their format."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple((each + 512.0) - 512.0 for each in self.network(picture))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "j3o-testbed" / "precisions"


def check() -> HalfPrecisionCheck:
    return HalfPrecisionCheck(CARD, "a board", open_benchmark(CARD.benchmark, "test", SIZE, 6))


def precision_of(network: nn.Module, judge: HalfPrecisionCheck) -> str:
    serving = Serving(network, CARD.tasks, CARD.preprocessing)
    return GraphEngine(serving, HostAccelerator("bfloat16", "float32"), 1, judge).precision


def test_a_precision_that_costs_nothing_is_served_and_not_judged_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = load_network(CARD)
    assert precision_of(network, check()) == "bfloat16"
    (kept,) = cache.iterdir()
    assert '"bfloat16"' in kept.read_text()

    def not_again(self: HalfPrecisionCheck, exact: Answering, lowered: Answering) -> None:
        pytest.fail("it was judged before")

    monkeypatch.setattr(HalfPrecisionCheck, "_measured", not_again)
    assert precision_of(network, check()) == "bfloat16"


def test_a_precision_that_costs_more_is_refused_with_its_loss(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert precision_of(Coarse(load_network(CARD)), check()) == "float32"
    assert "it is not served so" in caplog.text
    assert "rooms-small-geometry loses 0." in caplog.text
    assert precision_of(load_network(CARD), check()) == "float32"  # as was found of these weights


def test_what_is_lost_is_the_difference_of_scores(cache: Path) -> None:
    """One that answers with the labels in float32 and with nothing in half precision loses all."""
    split = open_benchmark(CARD.benchmark, "test", SIZE)
    judge = check()
    seen = iter(range(1000))

    def right(image_bhw3: np.ndarray) -> list[np.ndarray]:
        labels = [split.sample(next(seen)).labels for _ in image_bhw3]
        return [np.stack([each[task] for each in labels]) for task in CARD.tasks]

    def wrong(image_bhw3: np.ndarray) -> list[np.ndarray]:
        shapes = [split.sample(0).labels[task] for task in CARD.tasks]
        return [np.zeros((len(image_bhw3), *each.shape), each.dtype) for each in shapes]

    assert not judge.accepts("float16", right, wrong)
    assert max(judge._lost["float16"].values()) > 0.5 > MOST_LOST
    assert len(list(cache.iterdir())) == 1
    assert not check().accepts("float16", wrong, right)  # as is known: nothing is answered


def test_a_broken_file_is_found_out_anew(cache: Path) -> None:
    judge = check()
    judge._file.parent.mkdir(parents=True)
    judge._file.write_text("{broken")
    assert check()._lost == {}


def test_nodes_judge_it_on_gpus_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert precision_check(CARD, "cpu") is None
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"board {device}")
    judge = precision_check(CARD, "cuda:1")
    assert isinstance(judge, HalfPrecisionCheck)
    assert judge.board == "board cuda:1"
    assert judge.split.size == SIZE


def test_without_pictures_half_precision_is_used_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("J3O_DATA", raising=False)
    assert half_precision_check(CARD.model_copy(update={"benchmark": "pacs"}), "cuda:0") is None
    assert "without knowing what it costs" in caplog.text


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["rooms-small-all", "rooms-large-all"])
def test_the_zoo_is_served_in_half_precision_on_a_gpu(name: str) -> None:
    card = find_model(name)
    ModelRuntime.load(card, "cuda:0", check=half_precision_check(card, "cuda:0")).close()
    judge = half_precision_check(card, "cuda:0")
    assert judge is not None
    assert max(judge._lost["float16"].values()) <= MOST_LOST
