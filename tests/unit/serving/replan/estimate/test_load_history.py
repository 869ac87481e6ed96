"""Counts of past periods, from looks that come more or less often."""

from __future__ import annotations

import numpy as np

from serving.replan.estimate.arrival_counts import NewQueries
from serving.replan.estimate.load_history import LoadHistory
from support.replan_cases import estimate


def new(**queries: int) -> dict[str, NewQueries]:
    return {"c": NewQueries(1.0, queries)}


def test_looks_are_added_up_by_period() -> None:
    history = LoadHistory(period_s=2.0, kept=9)
    for second in range(1, 6):
        history = history.after(new(depth=second, edges=1), None, float(second))
    assert history.streams == (("c", "depth"), ("c", "edges"))
    assert history.count_ks.tolist() == [[1 + 2, 2], [3 + 4, 2]]
    assert history.filling.queries == {"c": {"depth": 5, "edges": 1}}


def test_a_look_that_is_late_by_periods_leaves_empty_ones() -> None:
    history = LoadHistory(period_s=2.0, kept=9).after(new(depth=3), None, 6.5)
    assert history.count_ks.tolist() == [[3], [0], [0]]
    assert history.number == 3


def test_only_the_latest_periods_are_kept() -> None:
    history = LoadHistory(period_s=1.0, kept=3)
    for second in range(1, 8):
        history = history.after(new(depth=second), None, float(second))
    assert history.count_ks.tolist() == [[5], [6], [7]]


def test_a_period_has_the_estimate_of_when_it_began() -> None:
    history = LoadHistory(period_s=2.0, kept=9)
    for second, seen in enumerate([None, estimate(1, 2), estimate(3, 4), estimate(5, 6)], start=1):
        history = history.after(new(depth=1, edges=1), seen, float(second))
    assert np.allclose(history.seen_ks, [[0, 0], [2 * 1, 2 * 2], [2 * 5, 2 * 6]])


def test_a_task_that_is_asked_for_later_has_none_before() -> None:
    history = LoadHistory(period_s=1.0, kept=9)
    history = history.after(new(depth=1), None, 1.0).after(new(edges=2), None, 2.0)
    assert history.count_ks.tolist() == [[1, 0], [0, 2]]


def test_a_loop_that_goes_on_keeps_the_periods_that_were_counted_by_the_same_clock() -> None:
    wanted = LoadHistory(period_s=2.0, kept=9)
    before = wanted.begun(1000.0).after(new(depth=3), None, 1002.5)
    assert before.count_ks.tolist() == [[3]]
    assert wanted.goes_on_from(before, 1003.0) is before
    assert before.after(new(depth=4), None, 1004.0).count_ks.tolist() == [[3], [4]]


def test_periods_of_another_length_or_of_a_clock_that_began_anew_are_dropped() -> None:
    before = LoadHistory(period_s=2.0, kept=9).begun(1000.0).after(new(depth=3), None, 1002.5)
    for wanted, now_s in ((LoadHistory(period_s=3.0, kept=9), 1003.0), (before.begun(0.0), 5.0)):
        found = wanted.goes_on_from(before, now_s)
        assert found.periods == ()
        assert found.number == int(now_s / wanted.period_s)


def test_a_clock_that_jumps_ahead_leaves_no_more_empty_periods_than_are_kept() -> None:
    """By as many as would take 8 TB one by one."""
    history = LoadHistory(period_s=1.0, kept=3).after(new(depth=5), None, 1e12)
    assert history.count_ks.size == 0
    assert (len(history.periods), history.number) == (3, 10**12)
