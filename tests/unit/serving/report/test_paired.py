"""Differences between policies on the same traffic, and how sure they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from serving.report.compare import policy_row, rank
from serving.report.paired import paired_difference, with_differences
from serving.traffic.measurement import Measurements
from serving.traffic.schedule import build_schedule
from serving.traffic.summary import summarise_run
from support.synthetic_run import demand, measure, records_of, summary

SCHEDULE = build_schedule(demand(), 11, 24)


def run(seed: int, less: float = 0.0, noise: float = 0.0) -> Measurements:
    rows = measure(SCHEDULE, records_of(SCHEDULE, seed))
    off = np.random.default_rng(seed).normal(-less, noise, len(rows)) if noise else -less
    return replace(rows, score=np.where(rows.answered, np.clip(rows.score + off, 0, 1), 0.0))


def test_a_policy_differs_from_itself_by_nothing() -> None:
    found = paired_difference([run(1)], [run(1)], "it")
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)
    assert found.words == "no clear difference"


def test_what_runs_and_pictures_have_in_store_cancels_out() -> None:
    """.02 is much less than single runs scatter by, and yet it is sure."""
    seeds = range(5)
    mine, other = [run(s, less=0.02) for s in seeds], [run(s) for s in seeds]
    means = [summarise_run(rows).accuracy for rows in other]
    assert max(means) - min(means) > 0.005
    found = paired_difference(mine, other, "other")
    assert found.words == "worse"
    assert found.low <= found.value <= found.high < 0
    assert found.high - found.low < 0.01
    assert paired_difference(other, mine, "other").words == "better"


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    held = []
    for seed in range(12):
        mine, other = run(seed, noise=0.2), run(seed + 500)
        truth = 0.0
        found = paired_difference([mine], [other], "other")
        held.append(found.low - 0.02 <= truth <= found.high + 0.02)
    assert np.mean(held) >= 0.75


def test_runs_must_come_in_pairs() -> None:
    with pytest.raises(ValueError, match="expected pairs of runs, got 1 and 2"):
        paired_difference([run(1)], [run(1), run(2)], "it")
    with pytest.raises(ValueError, match="got 0 and 0"):
        paired_difference([], [], "it")


def test_every_policy_but_the_best_has_its_difference() -> None:
    runs = {"a": [run(1)], "b": [run(1, less=0.05)], "c": [run(1, less=0.1)]}
    rows = with_differences(
        [policy_row(name, summary(0.6), summarise_run(each[0])) for name, each in runs.items()],
        runs,
    )
    assert [row.policy for row in rank(rows)] == ["a", "b", "c"]
    assert rows[0].to_best is None
    assert rows[2].to_best is not None
    assert rows[2].to_best.to == "a"
    assert rows[2].to_best.value < -0.05


def test_runs_are_pooled_one_after_another() -> None:
    first, second = run(1), run(2)
    pooled = Measurements.pooled([first, second])
    assert len(pooled) == len(first) + len(second)
    assert pooled.run.duration_s == first.run.duration_s + second.run.duration_s
    assert pooled.query.tolist() == list(range(len(pooled)))
    np.testing.assert_allclose(
        np.sort(pooled.latency_s), np.sort(np.concatenate([first.latency_s, second.latency_s]))
    )
    assert pooled.scheduled_s[len(first)] >= first.run.duration_s
    busy = first.run.model_copy(update={"busy_s": {"edge-0": 2.0}})
    both = Measurements.pooled([replace(first, run=busy), replace(second, run=busy)])
    assert both.run.busy_s == {"edge-0": 4.0}
    with pytest.raises(ValueError, match="no run to pool"):
        Measurements.pooled([])
