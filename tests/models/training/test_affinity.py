"""Pairs of tasks: what they say, and the networks that are chosen by it."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cluster.document import DocumentError
from models.benchmarks.registry import BENCHMARKS
from models.curation.affinity_tables import load_affinity
from models.tasks import tasks_of
from models.training.affinity import (
    Affinity,
    best_networks,
    collect_affinity,
    gain_ij,
    pair_specs,
    predict_scores,
)
from models.training.specs import SPECS
from models.zoo.registry import list_models
from serving.cli.main import app

Scores = dict[frozenset[str], dict[str, float]]


def metric(value: float) -> dict[str, float]:
    return {"value": value, "half_width": 0.01, "images": 100}


def affinity(alone: dict[str, float], pairs: Scores) -> Affinity:
    return Affinity.parse(
        {
            "benchmark": "b",
            "alone": {task: metric(value) for task, value in alone.items()},
            "pairs": [
                {"metrics": {task: metric(value) for task, value in scores.items()}}
                for scores in pairs.values()
            ],
        }
    )


ALONE = {"a": 0.5, "b": 0.6, "c": 0.4}
PAIRS: Scores = {
    frozenset("ab"): {"a": 0.6, "b": 0.5},
    frozenset("ac"): {"a": 0.4, "c": 0.45},
    frozenset("bc"): {"b": 0.62, "c": 0.44},
}


def test_gains_and_predictions_by_hand() -> None:
    found = affinity(ALONE, PAIRS)
    assert gain_ij(found) == pytest.approx(
        np.array([[0, 0.1, -0.1], [-0.1, 0, 0.02], [0.05, 0.04, 0]])
    )
    assert predict_scores(found, ("b",)) == {"b": 0.6}
    assert predict_scores(found, ("a", "b", "c")) == pytest.approx(
        {"a": 0.5, "b": 0.56, "c": 0.445}
    )


def test_a_task_may_be_trained_for_another_ones_sake() -> None:
    """b spoils itself beside a, whom it helps: with two networks each has its own company."""
    networks, mean = best_networks(affinity(ALONE, PAIRS), 2)
    assert {(network.trained, network.asked) for network in networks} == {
        (("a", "b"), ("a",)),
        (("b", "c"), ("b", "c")),
    }
    assert mean == pytest.approx((0.6 + 0.62 + 0.44) / 3)
    (only,), mean = best_networks(affinity(ALONE, PAIRS), 1)
    assert only.trained == only.asked == ("a", "b", "c")
    assert mean == pytest.approx((0.5 + 0.56 + 0.445) / 3)


@st.composite
def affinities(draw: st.DrawFn) -> Affinity:
    tasks = "abcd"[: draw(st.integers(2, 4))]
    value = st.integers(0, 100).map(lambda percent: percent / 100)
    alone = {task: draw(value) for task in tasks}
    pairs = {
        frozenset(pair): {task: draw(value) for task in pair} for pair in combinations(tasks, 2)
    }
    return affinity(alone, pairs)


@settings(max_examples=40, deadline=None)
@given(affinities(), st.integers(1, 3))
def test_no_other_networks_predict_more(found: Affinity, most: int) -> None:
    """Every set of networks that serves all tasks, each task asked of the best of them."""
    tasks = found.tasks
    sets = [part for size in range(1, len(tasks) + 1) for part in combinations(tasks, size)]
    predicted = {part: predict_scores(found, part) for part in sets}
    means = [
        np.mean([max(predicted[part].get(task, -1.0) for part in chosen) for task in tasks])
        for count in range(1, most + 1)
        for chosen in combinations(sets, count)
        if set().union(*chosen) == set(tasks)
    ]
    networks, mean = best_networks(found, most)
    assert mean == pytest.approx(max(means))
    assert len(networks) <= most
    assert sorted(task for network in networks for task in network.asked) == sorted(tasks)
    asked = [predicted[network.trained][task] for network in networks for task in network.asked]
    assert np.mean(asked) == pytest.approx(mean)


@pytest.mark.parametrize("lacking", [*PAIRS, None], ids=["ab", "ac", "bc", "twice"])
def test_a_table_with_a_hole_or_a_pair_twice_is_refused(lacking: frozenset[str] | None) -> None:
    pairs = [
        {"metrics": {task: metric(value) for task, value in scores.items()}}
        for pair, scores in PAIRS.items()
        if pair != lacking
    ]
    data = {
        "benchmark": "b",
        "alone": {task: metric(value) for task, value in ALONE.items()},
        "pairs": pairs if lacking else [*pairs, pairs[0]],
    }
    with pytest.raises(DocumentError, match="each of the 3 pairs of tasks once"):
        Affinity.parse(data)


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_every_pair_is_trained_once_and_alike(benchmark: str) -> None:
    zoo = [spec for spec in SPECS.values() if spec.benchmark == benchmark]
    pairs = [s for s in zoo if s.size_class == "small" and len(s.tasks) == 2 and not s.teacher]
    specs = pair_specs(benchmark)
    trained = [frozenset(spec.tasks) for spec in (*pairs, *specs)]
    wanted = {frozenset(pair) for pair in combinations(tasks_of(benchmark), 2)}
    assert set(trained) == wanted
    assert len(trained) == len(wanted)
    assert len({(spec.steps, spec.seed, spec.learning_rate) for spec in (*pairs, *specs)}) == 1
    assert not {spec.name for spec in specs} & SPECS.keys()


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_the_table_that_ships_is_the_zoo_s_own(benchmark: str) -> None:
    found = load_affinity(benchmark)
    assert found.tasks == tasks_of(benchmark)
    compared = 0
    for card in list_models(benchmark):
        if card.size_class != "small" or card.teacher or len(card.tasks) > 2:
            continue
        for task in card.tasks:
            others = set(card.tasks) - {task}
            kept = found.together(task, others.pop()) if others else found.alone[task]
            assert kept == card.metrics[task]
            compared += 1
    assert compared > len(found.tasks)


def test_the_verb_says_what_to_train_together() -> None:
    done = CliRunner().invoke(app, ["zoo", "affinity", "rooms", "--networks", "2", "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    found = load_affinity("rooms")
    networks, mean = best_networks(found, 2)
    assert said["predicted_mean"] == pytest.approx(mean)
    assert [set(network["asked"]) for network in said["networks"]] == [
        set(network.asked) for network in networks
    ]
    assert said["gain"]["depth"]["edges"] == pytest.approx(
        found.together("depth", "edges").value - found.alone["depth"].value
    )


def test_cards_that_lack_a_pair_are_refused() -> None:
    with pytest.raises(DocumentError, match="the cards of rooms"):
        collect_affinity("rooms", list_models("rooms"))
