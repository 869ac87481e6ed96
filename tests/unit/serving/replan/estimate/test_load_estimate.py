"""From the clients' counters to rates: restarts, idle systems, and what is enough to plan for."""

from __future__ import annotations

import pytest

from serving.replan.estimate.arrival_counts import ArrivalCounts, NewQueries
from serving.replan.estimate.load_estimate import FIRST_S, EstimatorState, LoadEstimator
from support.replan_cases import estimate, snapshot


def test_what_is_new_between_two_looks_is_counted_by_task() -> None:
    counts = ArrivalCounts(("depth", "edges"))
    assert counts.update({"c": snapshot("c", 0.0, depth=5)}) == {}
    assert counts.update({"c": snapshot("c", 5.0, depth=25)}) == {
        "c": NewQueries(5.0, {"depth": 20, "edges": 0})
    }
    assert counts.update({}) == {}
    assert counts.update({"c": snapshot("c", 15.0, depth=55, edges=60)}) == {
        "c": NewQueries(10.0, {"depth": 30, "edges": 60})
    }


def test_a_client_that_is_restarted_between_two_looks_has_asked_for_no_less() -> None:
    """Its counters begin anew; the rates were negative, and the loop ended for good."""
    counts = ArrivalCounts(("depth",))
    counts.update({"c": snapshot("c", 5.0, depth=1_050)})
    assert counts.update({"c": snapshot("c", 10.0, depth=30)}) == {
        "c": NewQueries(5.0, {"depth": 30})
    }


def test_a_look_after_a_clock_that_went_back_counts_for_nothing() -> None:
    counts = ArrivalCounts(("depth",))
    counts.update({"c": snapshot("c", 50.0, depth=10)})
    assert counts.update({"c": snapshot("c", 20.0, depth=40)}) == {}
    assert counts.update({"c": snapshot("c", 21.0, depth=50)}) == {
        "c": NewQueries(1.0, {"depth": 10})
    }


def test_rates_are_counted_from_the_first_look_on() -> None:
    load = LoadEstimator(("depth", "edges"))
    seen = None
    for second in range(int(FIRST_S) + 1):
        seen = load.update({"c": snapshot("c", float(second), depth=8 * second)})
        assert (seen is None) == (second < FIRST_S)
    assert seen is not None
    assert seen.rates_qps["c"]["depth"] == pytest.approx(8.0, abs=0.2)
    assert seen.rates_qps["c"]["edges"] == pytest.approx(0.16, abs=0.02)  # it still gets a way
    assert seen.dispersion == {"c": 1.0}
    assert seen.phase().rates_qps == seen.rates_qps


def test_an_idle_system_is_left_alone() -> None:
    load = LoadEstimator(("depth",))
    for second in range(0, 60, 5):
        assert load.update({"c": snapshot("c", float(second), depth=second // 5)}) is None


def test_a_client_that_does_not_answer_keeps_what_was_known_of_it() -> None:
    load = LoadEstimator(("depth",))
    for second in range(20):
        both = {name: snapshot(name, float(second), depth=5 * second) for name in ("b", "c")}
        load.update(both)
    alone = load.update({"c": snapshot("c", 21.0, depth=105)})
    assert alone is not None
    assert alone.rates_qps["b"]["depth"] == pytest.approx(5.0, abs=0.2)


def test_an_estimator_goes_on_from_its_state() -> None:
    first = LoadEstimator(("depth",))
    for second in range(30):
        first.update({"c": snapshot("c", float(second), depth=5 * second)})
    state = type(first.state).model_validate_json(first.state.model_dump_json())
    seen = LoadEstimator(("depth",), state).update({"c": snapshot("c", 0.0, depth=0)})
    assert seen is not None
    assert seen.rates_qps["c"]["depth"] == pytest.approx(5.0, abs=0.2)


def test_dispersion_over_a_window_lies_between_poisson_and_that_of_a_look() -> None:
    seen = estimate(12.0, 8.0, dispersion=21.0)
    assert seen.dispersion_over(1.0) == {"c": 21.0}
    assert seen.dispersion_over(0.25) == {"c": 6.0}
    assert seen.dispersion_over(8.0) == {"c": 21.0}


def test_bursts_that_the_plan_was_made_for_are_believed_until_seen_otherwise() -> None:
    """Calm looks: after as many as the belief is worth, half of it is left."""
    state = EstimatorState.before_looking({"c": 11.0}, window_s=0.5, look_s=1.0)
    load, told = LoadEstimator(("depth",), state), LoadEstimator(("depth",))
    believed = []
    for second in range(62):
        now = {"c": snapshot("c", float(second), depth=8 * second)}
        seen, plain = load.update(now), told.update(now)
        if seen is not None and plain is not None:
            assert seen.volume_errors_qps["c"] > plain.volume_errors_qps["c"]
            believed.append(seen.dispersion["c"])
    assert believed[0] == pytest.approx(21.0, rel=0.1)
    assert believed[-1] == pytest.approx(11.0, rel=0.15)


def test_a_plan_for_poisson_arrivals_makes_nobody_believe_in_anything() -> None:
    assert EstimatorState.before_looking({}, 0.4, 1.0) == EstimatorState()
    assert EstimatorState.before_looking({"c": 0.5}, 0.4, 1.0) == EstimatorState()
