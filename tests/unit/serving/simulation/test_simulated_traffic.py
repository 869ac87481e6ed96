"""Traffic that is not Poisson, callers who wait, and events of a timeline, in simulated time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cluster.demand import Phase
from cluster.errors import InputError
from cluster.timeline import TimelineEvent
from planner.solution import Solution
from serving.setting.setting import Setting
from serving.simulation.simulate import simulate
from serving.traffic.measurement import Measurements
from serving.traffic.summary import summarise_run
from support.demo_setting import demo_demand
from support.same_rows import assert_same_rows

DURATION_S = 24.0


def phase(**more: Any) -> Phase:
    rates = demo_demand().phases[0].rates_qps
    return Phase.model_validate({"duration_s": DURATION_S, "rates_qps": rates, **more})


def run(setting: Setting, solution: Solution, *events: dict[str, Any], **of: Any) -> Measurements:
    timeline = [TimelineEvent.model_validate(event) for event in events]
    return simulate(setting, solution.plan, [phase(**of)], seed=5, timeline=timeline)


@pytest.fixture(scope="module")
def quiet(setting: Setting, solution: Solution) -> Measurements:
    return run(setting, solution)


def answered(rows: Measurements, begin_s: float, end_s: float, **where: str) -> float:
    """Share of the queries due in a stretch that were answered."""
    inside = (rows.scheduled_s >= begin_s) & (rows.scheduled_s < end_s)
    for column, value in where.items():
        inside &= getattr(rows, column) == value
    return float(rows.answered[inside].mean())


def test_bursts_of_the_same_mean_are_refused_more_and_the_report_says_why(
    setting: Setting, solution: Solution, quiet: Measurements
) -> None:
    states = [{"factor": 0.3, "dwell_s": 4}, {"factor": 5, "dwell_s": 1}]
    mmpp = {"kind": "mmpp", "states": states, "correlation": 1, "hold_mean": True}
    poisson, bursts = (
        summarise_run(rows) for rows in (quiet, run(setting, solution, arrivals=mmpp))
    )
    assert bursts.queries == pytest.approx(poisson.queries, rel=0.08)
    assert bursts.goodput_accuracy < 0.95 * poisson.goodput_accuracy
    assert poisson.sent is not None
    assert bursts.sent is not None
    assert poisson.sent.total.dispersion_1s == pytest.approx(1.0, abs=0.8)
    assert bursts.sent.total.dispersion_1s is not None
    assert bursts.sent.total.dispersion_1s > 30
    assert bursts.sent.by_client["client-0"].window_s == 0.4


def test_callers_who_wait_are_answered_by_the_simulated_system(
    setting: Setting, solution: Solution
) -> None:
    arrivals = {"client-0": {"kind": "closed_loop", "callers": 6, "think_s": 0.3}}
    rows = run(setting, solution, arrivals=arrivals)
    mine = rows.client == "client-0"
    took_s = 0.3 + float(rows.latency_s[mine].mean())
    assert mine.sum() == pytest.approx(6 * DURATION_S / took_s, rel=0.1)
    again = run(setting, solution, arrivals=arrivals)
    assert_same_rows(rows, again)


def test_a_cut_link_is_felt_while_it_is_cut_and_not_longer(
    setting: Setting, solution: Solution, quiet: Measurements
) -> None:
    link = ["client-0", "edge-0"]
    rows = run(setting, solution, {"at_s": 8, "cut_link": link}, {"at_s": 14, "restore_link": link})
    assert not np.any(
        (rows.tier != "client")
        & rows.answered
        & (rows.client == "client-0")
        & (rows.scheduled_s > 8.1)
        & (rows.done_s < 14)
    )
    assert answered(rows, 18, 24, client="client-0") == pytest.approx(
        answered(quiet, 18, 24, client="client-0"), abs=0.05
    )
    assert np.array_equal(rows.scheduled_s, quiet.scheduled_s)


def test_a_slow_link_and_a_straggler_cost_answers(
    setting: Setting, solution: Solution, quiet: Measurements
) -> None:
    plain = summarise_run(quiet)
    slow = {"link": ["client-1", "edge-0"], "factor": 6}
    for event in ({"slow_link": slow}, {"slow_node": {"node": "edge-0", "factor": 8}}):
        hurt = summarise_run(run(setting, solution, {"at_s": 4, **event}))
        assert hurt.goodput_accuracy < 0.97 * plain.goodput_accuracy


def test_a_killed_edge_answers_nothing_until_it_is_started_anew(
    setting: Setting, solution: Solution
) -> None:
    rows = run(setting, solution, {"at_s": 6, "kill_node": "edge-0"})
    of_edge = (rows.node == "edge-0") & rows.answered
    assert np.any(of_edge & (rows.done_s < 6))
    assert not np.any(of_edge & (rows.scheduled_s > 6) & (rows.scheduled_s < 13.5))
    assert np.any(of_edge & (rows.scheduled_s > 16))
    assert summarise_run(rows).errors == 0


def test_a_load_is_scaled_from_its_event_on(setting: Setting, solution: Solution) -> None:
    rows = run(setting, solution, {"at_s": 12, "scale_load": {"client": "client-0", "factor": 3}})
    mine = rows.client == "client-0"
    before, after = mine & (rows.scheduled_s < 12), mine & (rows.scheduled_s >= 12)
    assert after.sum() == pytest.approx(3 * before.sum(), rel=0.25)


def test_an_event_of_a_node_that_is_not_there_is_refused_before_the_run(
    setting: Setting, solution: Solution
) -> None:
    with pytest.raises(InputError, match="no node is named 'edge-9'"):
        run(setting, solution, {"at_s": 1, "kill_node": "edge-9"})


def test_an_event_that_fails_ends_the_run_with_its_fault(
    setting: Setting, solution: Solution
) -> None:
    with pytest.raises(KeyError, match="edge-0"):
        run(setting, solution, *({"at_s": at_s, "kill_node": "edge-0"} for at_s in (2, 3)))
