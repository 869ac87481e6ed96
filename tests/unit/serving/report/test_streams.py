"""Client by client and task by task: shares add up, and are those of plan and run."""

from __future__ import annotations

import numpy as np
import pytest

from serving.report.figures import stages_at
from serving.report.streams import stream_rows
from serving.traffic.summary import SHED
from support.synthetic_run import Synthetic


def test_shares_of_a_task_of_a_client_add_up_to_one(made: Synthetic) -> None:
    rows = stream_rows(made.plan, made.measurements)
    assert sum(row.queries for row in rows) == len(made.measurements)
    for client, task in {(row.client, row.task) for row in rows}:
        own = [row for row in rows if (row.client, row.task) == (client, task)]
        assert sum(row.measured_share for row in own) == pytest.approx(1)
        assert sum(row.planned_share for row in own) == pytest.approx(1, abs=1e-3)
        assert [row.tier for row in own] == sorted(
            (row.tier for row in own), key=["client", "edge", "cloud", SHED].index
        )


def test_figures_of_a_row_are_those_of_its_answers(made: Synthetic) -> None:
    measured = made.measurements
    row = next(r for r in stream_rows(made.plan, measured) if r.tier == "edge" and r.queries > 9)
    own = measured.select(
        measured.answered & (measured.client == row.client) & (measured.task == row.task)
        & (measured.tier == "edge")
    )  # fmt: skip
    assert row.queries == len(own)
    assert row.accuracy == pytest.approx(own.score.mean())
    assert row.latency_p95_s == pytest.approx(np.quantile(own.latency_s, 0.95))
    assert row.half_width is not None


def test_stages_add_up_to_about_the_quantile(made: Synthetic) -> None:
    answered = made.measurements.select(made.measurements.answered)
    found = stages_at(answered)
    assert [name for name, _ in found] == ["p50", "p95", "p99"]
    for (_, stages), share in zip(found, (0.5, 0.95, 0.99), strict=True):
        assert sum(stages.values()) == pytest.approx(
            np.quantile(answered.latency_s, share), rel=0.1
        )
