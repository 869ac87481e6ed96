"""Figures by deadline: of tasks that have one, of their classes, and of what is in no class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cluster.demand import Phase
from serving.traffic.deadline_figures import figures_by_deadline, say_deadlines
from serving.traffic.measurement import Measurements
from serving.traffic.schedule import build_schedule
from serving.traffic.summary import summarise_run


def timed(measurements: Measurements, **deadlines_s: float) -> Measurements:
    """Half of the queries of depth are of its class `fast`, which is to be answered in 0.15 s."""
    named = np.where(
        (measurements.task == "depth") & (measurements.query % 4 < 2),
        "depth@fast",
        measurements.task,
    )
    run = measurements.run.model_copy(update={"deadlines_s": {"depth@fast": 0.15, **deadlines_s}})
    return replace(measurements, run=run, task=named)


def test_shares_are_of_all_queries_of_a_class(measurements: Measurements) -> None:
    rows = timed(measurements)
    found = figures_by_deadline(rows)
    assert set(found) == {"depth", "depth@fast"}
    own = rows.select(rows.task == "depth@fast")
    fast = found["depth@fast"]
    kept = own.answered & (own.latency_s <= 0.15)  # odd queries take 0.1 s, even ones 0.2 s
    assert 0.2 < kept.mean() < 0.6
    assert fast.kept_share == pytest.approx(kept.mean())
    assert fast.answered_share == pytest.approx(own.answered.mean())
    assert fast.accuracy == pytest.approx(0.8 * own.answered.mean())
    assert (fast.queries, fast.deadline_s) == (len(own), 0.15)
    assert fast.latency_p99_s == pytest.approx(0.2, abs=0.01)
    rest = found["depth"]
    assert (rest.kept_share, rest.deadline_s) == (None, None)
    assert say_deadlines(found) == (
        f"answered within their deadline: depth@fast {fast.kept_share:.1%} in 0.15 s"
    )
    assert summarise_run(rows).by_deadline == found


def test_a_task_with_a_deadline_and_no_class_has_figures_too(measurements: Measurements) -> None:
    found = figures_by_deadline(timed(measurements, edges=0.3))
    assert set(found) == {"depth", "depth@fast", "edges"}
    assert found["edges"].kept_share == pytest.approx(found["edges"].answered_share)


def test_a_run_without_deadlines_or_answers(measurements: Measurements) -> None:
    assert figures_by_deadline(measurements) == {}
    assert say_deadlines({}) == ""
    rows = timed(measurements)
    none = replace(rows, outcome=np.full_like(rows.outcome, "shed"), score=0 * rows.score)
    fast = figures_by_deadline(none)["depth@fast"]
    assert (fast.kept_share, fast.latency_p50_s) == (0.0, None)


def test_a_class_is_asked_about_the_pictures_of_its_task() -> None:
    phase = Phase(duration_s=20.0, rates_qps={"c": {"depth@fast": 3.0, "edges": 1.0}})
    schedule = build_schedule([phase], 1, 6, {"depth": [1, 4], "edges": [0]})
    images = schedule.image_q[schedule.task_q == schedule.tasks.index("depth@fast")]
    assert set(images.tolist()) == {1, 4}
