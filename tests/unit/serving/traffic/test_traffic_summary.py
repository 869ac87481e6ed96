"""The numbers of a run, and what they are when little or nothing was answered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.traffic.measurement import SCHEMA, Measurements
from serving.traffic.summary import RunSummary, say_measured, summarise, summarise_run
from serving.traffic.timeline import bin_timeline


def test_the_numbers_of_a_known_run(measurements: Measurements) -> None:
    measured = summarise(measurements, 20.0, {"e1": 5.0, "c1": 2.0})
    n = len(measurements)
    shed = -(-n // 5)
    assert (measured.queries, measured.shed, measured.errors) == (n, shed, 1)
    assert measured.accuracy == pytest.approx(0.8 * (n - shed - 1) / n)
    assert measured.accuracy_of_answered == pytest.approx(0.8)
    assert measured.accuracy_of_answered is not None
    assert measured.accuracy == pytest.approx(
        measured.accuracy_of_answered * measured.answered_share
    )
    assert measured.utilization_by_node == {"c1": 0.1, "e1": 0.25}
    assert set(measured.share_by_tier) == {"client", "edge", "cloud", "shed"}
    assert measured.share_by_tier["cloud"] == 0.0
    assert sum(measured.share_by_tier.values()) == pytest.approx(1 - 1 / n)
    assert measured.latency_s is not None
    assert measured.latency_s.p99 == pytest.approx(0.2)
    edge_share = measured.share_by_tier["edge"] / measured.answered_share
    assert measured.deadline_met_share == pytest.approx(edge_share)
    assert measured.generator_lateness_s.p50 == pytest.approx(0.001)


def test_a_run_that_answers_nothing_has_no_latency(measurements: Measurements) -> None:
    shed = measurements.select(measurements.outcome == "shed")
    measured = summarise(shed, 20.0, {})
    assert measured.accuracy == 0.0
    assert measured.latency_s is None
    assert measured.deadline_met_share is None
    assert measured.accuracy_of_answered is None


def test_a_query_without_an_outcome_cannot_be_summarised(measurements: Measurements) -> None:
    good = summarise(measurements, 20.0, {})
    with pytest.raises(ValueError, match="is not queries"):
        RunSummary.model_validate(good.model_dump() | {"answered": good.answered - 1})


@pytest.mark.parametrize(("late", "valid"), [(1, True), (2, False)])
def test_over_one_late_batch_in_a_hundred_makes_a_run_invalid(
    measurements: Measurements, late: int, valid: bool
) -> None:
    counted = {"batches": {"e1": 100, "e2": 0}, "late_batches": {"e1": late, "e2": 0}}
    run = measurements.run.model_copy(update=counted)
    measured = summarise_run(replace(measurements, run=run))
    assert measured.late_batch_share_by_node == {"e1": late / 100, "e2": 0.0}
    assert (measured.invalid == "") is valid
    said = "the host was slower than the devices that it emulates, for over 1% of batches: e1 2.0%"
    assert measured.invalid == ("" if valid else said)
    assert ("INVALID: the host was slower" in say_measured(measured)) is not valid


def test_a_run_without_emulated_devices_says_nothing_of_them(measurements: Measurements) -> None:
    measured = summarise_run(measurements)
    assert measured.late_batch_share_by_node == {}
    assert measured.invalid == ""


def test_nothing_to_summarise_is_refused(measurements: Measurements) -> None:
    with pytest.raises(ValueError, match="no query"):
        summarise(measurements.select(np.zeros(len(measurements), bool)), 20.0, {})
    with pytest.raises(ValueError, match="duration_s"):
        summarise(measurements, 0.0, {})


@st.composite
def columns(draw: st.DrawFn) -> dict[str, Any]:
    n = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    outcome = rng.choice(["answered", "shed", "error"], n)
    scheduled_s = np.sort(rng.uniform(0, 10, n))
    text = {"client": "c", "task": "t", "reason": "", "tier": "edge", "node": "e", "model": "m"}
    return {
        **{field.name: np.zeros(n) for field in SCHEMA},
        **{name: np.full(n, value) for name, value in text.items()},
        "task": rng.choice(["depth", "edges"], n),
        "tier": np.where(outcome == "answered", rng.choice(["client", "edge", "cloud"], n), ""),
        "query": np.arange(n),
        "image": rng.integers(0, 5, n),
        "outcome": outcome,
        "scheduled_s": scheduled_s,
        "sent_s": scheduled_s,
        "done_s": scheduled_s + rng.exponential(0.1, n),
        "bound_s": np.full(n, 0.2),
        "score": rng.uniform(0, 1, n),
    }


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(made=columns())
def test_every_summary_adds_up(measurements: Measurements, made: dict[str, Any]) -> None:
    rows = replace(measurements, **made)
    measured = summarise(rows, 10.0, {"e": 1.0})
    assert measured.answered + measured.shed + measured.errors == measured.queries
    assert 0.0 <= measured.accuracy <= measured.answered_share + 1e-12
    low, high = measured.accuracy_interval
    assert low <= measured.accuracy + 1e-12
    assert measured.accuracy <= high + 1e-12
    weights = {task: float((rows.task == task).mean()) for task in measured.accuracy_by_task}
    assert measured.accuracy == pytest.approx(
        sum(weights[task] * value for task, value in measured.accuracy_by_task.items())
    )
    assert sum(measured.share_by_tier.values()) == pytest.approx(
        measured.answered_share + measured.shed / measured.queries
    )
    if measured.latency_s is not None:
        latency = measured.latency_s
        assert latency.p50 <= latency.p95 <= latency.p99 <= latency.max


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(made=columns(), bin_s=st.floats(0.3, 30.0))
def test_a_timeline_holds_every_query_once(
    measurements: Measurements, made: dict[str, Any], bin_s: float
) -> None:
    rows = replace(measurements, **made)
    timeline = bin_timeline(rows, bin_s)
    assert sum(timeline.queries) == len(rows)
    total = sum(n * (a or 0.0) for n, a in zip(timeline.queries, timeline.accuracy, strict=True))
    assert total == pytest.approx(rows.score[rows.answered].sum())


def test_a_bin_without_queries_has_no_accuracy(measurements: Measurements) -> None:
    first = measurements.select(measurements.scheduled_s < 5.0)
    assert bin_timeline(first, 5.0).accuracy[1:] == (None, None, None)
    with pytest.raises(ValueError, match="bin_s"):
        bin_timeline(first, 0.0)
