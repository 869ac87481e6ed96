"""What nodes did over time, from rows that were made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from serving.report.node_series import bin_edges_s, node_series, refusal_series
from serving.report.plan_changes import plan_changes_s
from serving.report.timeline_figures import draw_nodes, draw_refusals
from serving.traffic.measurement import Measurements
from support.synthetic_run import Synthetic


def rows(made: Synthetic, count: int, **columns: object) -> Measurements:
    """The first `count` rows of the synthetic run, all answered at edge-0, with other columns."""
    first = made.measurements.select(np.arange(len(made.measurements)) < count)
    given = {
        "outcome": np.full(count, "answered"),
        "reason": np.full(count, ""),
        "node": np.full(count, "edge-0"),
        "tier": np.full(count, "edge"),
        **{name: np.asarray(value) for name, value in columns.items()},
    }
    run = first.run.model_copy(update={"duration_s": 4.0, "busy_s": {}})
    return replace(first, run=run, **given)


def test_two_queries_of_one_batch_keep_the_device_busy_once(made: Synthetic) -> None:
    """Both wait .5 s, then the batch takes the second from 1 to 2."""
    one_batch = rows(
        made, 2, done_s=[2.0, 2.0], compute_s=[1.0, 1.0], queue_s=[0.5, 0.3],
        batch_wait_s=[0.0, 0.2], batch_size=[2, 2],
    )  # fmt: skip
    edges_s = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    found = node_series(one_batch, edges_s)["edge-0"]
    assert found.busy_t.tolist() == pytest.approx([0, 1, 0, 0])
    assert found.waiting_t.tolist() == pytest.approx([1, 0, 0, 0])  # two of them, half a second
    assert np.isnan(found.batch_t[[0, 1, 3]]).all()
    assert found.batch_t[2] == 2  # the answers are there at 2 s


def test_busy_time_is_that_of_the_device_where_tasks_shared_a_pass(made: Synthetic) -> None:
    shared = rows(
        made, 2, done_s=[2.0, 2.0], compute_s=[1.0, 1.0], queue_s=[0.0, 0.0],
        batch_wait_s=[0.0, 0.0], batch_size=[1, 1],
    )  # fmt: skip
    shared = replace(shared, run=shared.run.model_copy(update={"busy_s": {"edge-0": 1.0}}))
    found = node_series(shared, np.array([0.0, 1.0, 2.0, 3.0]))["edge-0"]
    assert found.busy_t.tolist() == pytest.approx([0, 1, 0])


def test_refusals_are_counted_by_reason_when_they_were_due(made: Synthetic) -> None:
    refused = rows(
        made, 3, outcome=["shed", "shed", "shed"], reason=["queue", "link", "link"],
        scheduled_s=[0.2, 1.2, 1.4],
    )  # fmt: skip
    found = refusal_series(refused, np.array([0.0, 1.0, 2.0])).qps_by_reason
    assert list(found) == ["link", "queue"]
    assert found["link"].tolist() == [0, 2]
    assert draw_refusals(rows(made, 2)) is None
    assert "link: 0.50 a second on average" in (draw_refusals(refused) or "")


def test_bins_are_few_and_not_too_short() -> None:
    assert len(bin_edges_s(10_000.0)) == 121
    assert np.diff(bin_edges_s(2.0)).tolist() == [0.25] * 8
    assert bin_edges_s(0.1).tolist() == [0, 0.1]


def test_changes_of_plan_are_where_a_later_version_was_first_followed(made: Synthetic) -> None:
    changed = rows(made, 4, plan_version=[3, 3, 4, 4], scheduled_s=[0.0, 1.0, 2.5, 3.0])
    assert plan_changes_s(changed) == {4: 2.5}
    drawn = draw_nodes(changed)
    assert drawn.count('class="change"') == 3  # a line in each column
    assert "edge-0, device busy: at most" in drawn
