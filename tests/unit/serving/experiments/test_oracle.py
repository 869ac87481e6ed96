"""The policy that knows which queries are going to come."""

from __future__ import annotations

import pytest

from cluster.arrivals import ClosedLoop
from cluster.demand import Phase
from serving.experiments.oracle import load_between, oracle_policy
from serving.replan.change_policy import Seen
from serving.replan.estimate.load_history import LoadHistory
from serving.traffic.schedule import build_schedule

FIRST = Phase(duration_s=10.0, rates_qps={"a": {"depth": 20.0}, "b": {"edges": 5.0}})
SECOND = Phase(duration_s=5.0, rates_qps={"a": {"edges": 20.0}, "b": {"edges": 5.0}})
SCHEDULE = build_schedule([FIRST, SECOND], seed=1, image_count=9)


def seen(at_s: float) -> Seen:
    return Seen(None, LoadHistory(), at_s)


def test_the_load_of_a_period_is_what_the_schedule_has_in_it() -> None:
    found = load_between(SCHEDULE, 0.0, 10.0)
    assert found is not None
    rates = found.rates_qps
    for client, name in enumerate(SCHEDULE.clients):
        for task, what in enumerate(SCHEDULE.tasks):
            there = (SCHEDULE.client_q == client) & (SCHEDULE.task_q == task)
            count = int((there & (SCHEDULE.scheduled_s_q < 10.0)).sum())
            assert rates[name][what] == count / 10.0
    assert rates["a"]["depth"] == pytest.approx(20.0, rel=0.3)
    assert rates["a"]["edges"] == 0.0
    assert found.error_qps("a", "depth") == 0.0
    assert all(value >= 1.0 for value in found.dispersion.values())


def test_the_change_of_the_mix_is_known_before_anybody_has_asked() -> None:
    policy = oracle_policy(SCHEDULE, 5.0)
    before, after = policy.foresee(seen(9.9)), policy.foresee(seen(10.0))
    assert before is not None
    assert after is not None
    assert before.rates_qps["a"]["edges"] == 0.0
    assert after.rates_qps["a"]["depth"] == 0.0
    assert after.rates_qps["a"]["edges"] > 0.0


def test_what_is_left_of_the_schedule_counts_over_its_own_time() -> None:
    found = load_between(SCHEDULE, 12.0, 100.0)
    assert found is not None
    assert found.seen_s == 3.0
    last = (SCHEDULE.scheduled_s_q >= 12.0).sum()
    assert found.total_qps == pytest.approx(last / 3.0)
    assert load_between(SCHEDULE, 15.0, 5.0) is None


def test_one_burst_in_a_calm_period_is_dispersion() -> None:
    burst = FIRST.model_copy(update={"duration_s": 1.0, "rates_qps": {"a": {"depth": 200.0}}})
    calm = FIRST.model_copy(update={"rates_qps": {"a": {"depth": 1.0}}})
    found = load_between(build_schedule([burst, calm], 1, 9), 0.0, 11.0)
    assert found is not None
    assert found.dispersion["a"] > 20


def test_what_waiting_callers_ask_is_not_known() -> None:
    waiting = FIRST.model_copy(
        update={"arrivals": {"*": ClosedLoop(kind="closed_loop", callers=2, think_s=1.0)}}
    )
    with pytest.raises(ValueError, match="callers who wait"):
        oracle_policy(build_schedule([waiting], 1, 9), 5.0)
