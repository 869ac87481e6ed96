"""An interrupted rebuild goes on with the model it was at; a finished one starts over."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.training.rebuild import rebuild
from models.training.specs import TrainingSpec, specs_of
from models.zoo.cards import ModelCard
from models.zoo.registry import find_model


class _InterruptedError(Exception):
    pass


def test_finished_models_are_not_trained_twice(tmp_path: Path) -> None:
    specs = specs_of("rooms")[:3]
    trained: list[str] = []

    def train(spec: TrainingSpec) -> ModelCard:
        if spec is specs[2] and len(trained) == 2:
            raise _InterruptedError
        trained.append(spec.name)
        return find_model("rooms-small-all")

    with pytest.raises(_InterruptedError):
        list(rebuild(specs, train, state_dir=tmp_path))
    trained.append("again")
    assert len(list(rebuild(specs, train, state_dir=tmp_path))) == 1
    assert trained == [specs[0].name, specs[1].name, "again", specs[2].name]
    assert not list(tmp_path.iterdir())
    assert len(list(rebuild(specs, train, state_dir=tmp_path))) == 3


def test_without_resuming_everything_is_trained(tmp_path: Path) -> None:
    specs = specs_of("domains")[:2]
    first = rebuild(specs, lambda _: find_model("rooms-small-all"), state_dir=tmp_path)
    next(first)
    again = rebuild(
        specs, lambda _: find_model("rooms-small-all"), resume=False, state_dir=tmp_path
    )
    assert len(list(again)) == 2


def test_an_unknown_benchmark_is_refused() -> None:
    with pytest.raises(KeyError, match="rooms, domains, streets"):
        specs_of("halls")
