"""The zoo's cards, without torch: complete, honest about their files, and found by name."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest

from models.specs import SPECS, find_spec
from models.tasks import TASKS
from models.zoo.cards import ModelCard
from models.zoo.registry import ZOO_FOLDER, checkpoint_path, find_model, list_models

CARDS = list_models()
LIMIT_BYTES = 40_000_000
by_name = pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)


def test_every_size_class_and_task_is_served() -> None:
    assert len(CARDS) >= 8
    assert {card.size_class for card in CARDS} == {"small", "middle", "large"}
    for size_class in ("small", "middle", "large"):
        served = {task for card in CARDS if card.size_class == size_class for task in card.tasks}
        assert served == set(TASKS)
    assert list_models("rooms") == CARDS
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


def test_accuracy_rises_with_size_in_every_task() -> None:
    for task in TASKS:
        small, middle, large = (
            find_model(f"rooms-{size}-all").accuracy(task) for size in ("small", "middle", "large")
        )
        assert small < middle < large


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
        "import sys, models.tasks, models.specs, models.benchmarks.cache, "
        "models.zoo.registry; sys.exit('torch' in sys.modules or 'ray' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
