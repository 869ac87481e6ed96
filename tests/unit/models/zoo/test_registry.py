"""The zoo's cards, without torch: complete, honest about their files, and found by name."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest

from models.tasks import tasks_of
from models.training.specs import SPECS, find_spec
from models.zoo.cards import ModelCard
from models.zoo.registry import ZOO_FOLDER, checkpoint_path, find_model, list_models

CARDS = list_models()
SIZES = ("small", "middle", "large")
LIMIT_BYTES = 60_000_000
LEAST_LADDER = 0.10
by_name = pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
by_benchmark = pytest.mark.parametrize("benchmark", ["rooms", "domains", "streets"])


@by_benchmark
def test_every_size_class_and_task_is_served(benchmark: str) -> None:
    cards = list_models(benchmark)
    assert len(cards) >= 12
    assert {card.size_class for card in cards} == set(SIZES)
    for size in SIZES:
        served = {task for card in cards if card.size_class == size for task in card.tasks}
        assert served == set(tasks_of(benchmark))
    subsets = {card.tasks for card in cards if 1 < len(card.tasks) < len(tasks_of(benchmark))}
    assert len(subsets) >= 3


def test_an_unknown_benchmark_has_no_models() -> None:
    assert list_models("no such benchmark") == ()


@by_name
def test_a_card_states_what_its_file_is(card: ModelCard) -> None:
    content = checkpoint_path(card).read_bytes()
    assert hashlib.sha256(content).hexdigest() == card.checkpoint_sha256
    assert set(card.metrics) == set(card.tasks)
    assert all(metric.images >= 400 for metric in card.metrics.values())
    assert all(0 < metric.half_width < 0.05 for metric in card.metrics.values())
    assert card.train_command == f"testbed train {card.name}"
    assert card.licence == "Apache-2.0"


@by_name
def test_a_card_agrees_with_the_spec_that_retrains_it(card: ModelCard) -> None:
    spec = find_spec(card.name)
    assert (card.tasks, card.size_class, card.steps, card.seed) == (
        spec.tasks, spec.size_class, spec.steps, spec.seed,
    )  # fmt: skip
    assert card.backbone == spec.architecture.backbone


def test_every_spec_has_been_trained() -> None:
    assert {card.name for card in CARDS} == set(SPECS)


def test_every_set_of_tasks_of_streets_is_served() -> None:
    tasks = tasks_of("streets")
    sets = {frozenset(card.tasks) for card in list_models("streets")}
    assert sets == {frozenset(s) for n in (1, 2, 3) for s in combinations(tasks, n)}


@by_benchmark
def test_accuracy_rises_with_cost(benchmark: str) -> None:
    small, middle, large = (
        np.mean([find_model(f"{benchmark}-{size}-all").accuracy(t) for t in tasks_of(benchmark)])
        for size in SIZES
    )
    assert small < middle < large
    assert large - small >= LEAST_LADDER


def test_all_checkpoints_together_stay_small() -> None:
    sizes = [path.stat().st_size for path in (ZOO_FOLDER / "checkpoints").iterdir()]
    assert sum(sizes) <= LIMIT_BYTES


def test_an_unknown_name_is_answered_with_near_ones() -> None:
    with pytest.raises(KeyError, match="rooms-small-all"):
        find_model("room-small-al")
    with pytest.raises(KeyError, match="rooms-small-all"):
        find_spec("rooms-smal-all")


def test_cards_tasks_and_pictures_need_no_torch() -> None:
    script = (
        "import sys, models.tasks, models.training.specs, models.benchmarks.splits.rendered, "
        "models.zoo.registry; sys.exit('torch' in sys.modules or 'ray' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
