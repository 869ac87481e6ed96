"""When the live loop decides, and for which load, under each policy of change."""

from __future__ import annotations

import pytest

from serving.replan.change_policy import REACTIVE, Seen, forecast_policy, periodic_policy
from serving.replan.decision import decide, renew
from serving.replan.estimate.arrival_counts import NewQueries
from serving.replan.estimate.load_history import LoadHistory
from serving.replan.need import Considered
from support.replan_cases import estimate

CALM, MOVED = estimate(10.0, 1.0), estimate(1.0, 10.0, changes=1)
BEFORE = Considered(estimate=CALM, absent=())


def test_the_reactive_loop_decides_when_something_has_moved_and_never_by_the_clock() -> None:
    assert REACTIVE.decide is decide
    assert REACTIVE.why(CALM, (), {}, BEFORE, 1e6, 0.0) == ""
    assert REACTIVE.why(MOVED, (), {}, BEFORE, 1.0, 0.9) == "the load has changed"
    assert REACTIVE.why(CALM, ("e",), {}, BEFORE, 1.0, 0.9) == "nodes came or went"


@pytest.mark.parametrize(
    ("at_s", "decided_s", "decides"),
    [(1.0, None, True), (11.9, 1.0, False), (12.0, 1.0, True), (13.5, 12.5, False),
     (50.0, 12.5, True)],
)  # fmt: skip
def test_the_periodic_loop_makes_a_new_plan_at_the_first_look_of_every_period(
    at_s: float, decided_s: float | None, decides: bool
) -> None:
    policy = periodic_policy(12.0)
    assert policy.decide is renew
    assert bool(policy.why(MOVED, ("e",), {}, BEFORE, at_s, decided_s)) == decides


def test_a_forecast_is_decided_on_by_the_clock_and_when_something_has_moved() -> None:
    policy = forecast_policy(period_s=10.0, season_periods=4)
    assert policy.why(CALM, (), {}, BEFORE, 20.0, 19.0) == "another 10 s have begun"
    assert policy.why(CALM, (), {}, BEFORE, 21.0, 20.0) == ""
    assert policy.why(MOVED, (), {}, BEFORE, 21.0, 20.0) == "the load has changed"


def test_a_forecast_plans_for_the_season_to_come_and_not_for_what_is_seen() -> None:
    """Depth and edges are asked in turns of one period; the long memory sees half of each."""
    policy = forecast_policy(period_s=10.0, season_periods=2)
    history, seen = policy.history, estimate(5.0, 5.0)
    for number in range(8):
        depth = 100 if number % 2 else 0
        new = {"c": NewQueries(10.0, {"depth": depth, "edges": 100 - depth})}
        history = history.after(new, seen, 10.0 * (number + 1))
    foreseen = policy.foresee(Seen(seen, history, 80.0))
    assert foreseen is not None
    assert foreseen.rates_qps["c"] == pytest.approx({"depth": 0.0, "edges": 10.0}, abs=0.01)
    assert foreseen.forecast == "season"
    assert foreseen.forecast_errors["season"] == 0.0
    assert foreseen.forecast_errors["seen"] > 0.0
    assert foreseen.stay_s == 10.0  # what comes after the period is another load
    assert REACTIVE.foresee(Seen(seen, history, 80.0)) is seen


def test_without_a_past_the_load_that_is_seen_is_planned_for() -> None:
    policy = forecast_policy(period_s=10.0, season_periods=2)
    assert policy.foresee(Seen(CALM, policy.history, 0.0)) is CALM
    assert policy.foresee(Seen(None, policy.history, 0.0)) is None


def test_a_loop_that_does_not_forecast_keeps_no_history() -> None:
    new = {"c": NewQueries(1.0, {"depth": 1})}
    assert REACTIVE.history.after(new, CALM, 1e6) == LoadHistory()
