"""Torch-needing tests of the models room run on one thread, as serving nodes do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from models.benchmarks.registry import open_benchmark
from models.benchmarks.rooms import Rooms
from models.benchmarks.splits.rendered import RenderedSplit, rendered_split
from models.training.specs import TrainingSpec, find_spec


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def few_test_images(tmp_path_factory: pytest.TempPathFactory) -> RenderedSplit:
    """The first images of the test split at the zoo's size."""
    folder: Path = tmp_path_factory.mktemp("rooms")
    return rendered_split(Rooms("test", count=24), folder=folder)


FEW = {"domains": 120}  # a sample there carries one of six tasks
FEW_ELSEWHERE = 24


@pytest.fixture(scope="session")
def few_of(
    few_test_images: RenderedSplit, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], RenderedSplit]:
    """The first images of a benchmark's test split, rendered once a session."""
    folder = tmp_path_factory.mktemp("few")
    made = {"rooms": few_test_images}

    def few(benchmark: str) -> RenderedSplit:
        if benchmark not in made:
            count = FEW.get(benchmark, FEW_ELSEWHERE)
            made[benchmark] = rendered_split(
                open_benchmark(benchmark, "test", count=count), folder=folder
            )
        return made[benchmark]

    return few


@pytest.fixture
def tiny_spec(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TrainingSpec:
    """Three steps on a handful of small pictures, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return dataclasses.replace(
        find_spec("rooms-small-geometry"),
        steps=3, batch=4, train_images=10, test_images=6, size=(32, 32),
    )  # fmt: skip
