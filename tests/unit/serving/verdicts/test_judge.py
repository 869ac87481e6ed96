"""Every prediction is set beside what came of it, and a failure names what the data show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cluster.arrivals import MmppArrivals
from cluster.demand import EVERY_CLIENT, Demand
from cluster.specs import SPECS
from cluster.timeline import TimelineEvent
from planner.policies import solve
from serving.setting.setting import Setting
from serving.simulation.simulate import simulate
from serving.traffic.measurement import Measurements
from serving.traffic.run_use import HostUse
from serving.verdicts.causes import NOTHING_KNOWN, Cause, Evidence
from serving.verdicts.judge import PlannedFor, judge_run
from serving.verdicts.verdict import Held, Quantity, Source, Verdict, failed


def slower(setting: Setting, factor: float, node: str) -> Setting:
    """Devices that take longer than their profiles say."""
    return replace(setting, profiles=setting.profiles.slowed({node: factor}))


def on_a_host(rows: Measurements, busy: float, stolen: float = 0.0) -> Measurements:
    run = rows.run.model_copy(update={"host": HostUse(busy_share=busy, stolen_share=stolen)})
    return replace(rows, run=run)


def of(verdicts: tuple[Verdict, ...], quantity: Quantity) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.quantity is quantity]


def test_a_run_as_predicted_fails_in_nothing(
    planned: PlannedFor, as_predicted: Measurements
) -> None:
    verdicts = judge_run(as_predicted, planned)
    assert {verdict.quantity for verdict in verdicts} == set(Quantity)
    assert failed(verdicts) == []
    for verdict in verdicts:
        if verdict.source in (Source.SIMULATION, Source.PROFILE):
            assert verdict.error == pytest.approx(0.0, abs=1e-9), verdict
        assert verdict.cause == ""
    shares = of(verdicts, Quantity.ROUTE_SHARE)
    assert {verdict.where for verdict in shares} == {
        f"{route.task} of {route.client} to {route.model} on {route.node}"
        for route in planned.plan.routes
    }


def test_a_device_slower_than_its_profile_is_found(planned: PlannedFor) -> None:
    rows = simulate(slower(planned.setting, 2.0, "client-0"), planned.plan, [planned.phase], seed=5)
    verdicts = judge_run(rows, planned)
    slow = failed(tuple(of(verdicts, Quantity.BATCH_LATENCY)))
    assert slow
    assert all(verdict.where.endswith(" on client-0") for verdict in slow)
    assert all(verdict.error == pytest.approx(1.0, abs=0.01) for verdict in slow)
    assert all(verdict.cause.startswith(Cause.STALE_PROFILE) for verdict in slow)
    assert "client-0 took 2.00 times" in slow[0].cause
    busy = {each.where: each for each in of(verdicts, Quantity.UTILIZATION)}
    assert busy["client-0"].measured > 1.8 * busy["client-0"].predicted


@pytest.mark.parametrize(
    ("busy", "stolen", "cause"),
    [
        (0.97, 0.0, Cause.INTERFERENCE),
        (0.97, 0.1, Cause.HOST_STOLEN),
        (0.4, 0.1, Cause.HOST_STOLEN),
    ],
)
def test_a_host_without_time_is_to_blame_before_the_profile(
    planned: PlannedFor, busy: float, stolen: float, cause: Cause
) -> None:
    rows = simulate(slower(planned.setting, 2.0, "client-0"), planned.plan, [planned.phase], seed=5)
    verdicts = judge_run(on_a_host(rows, busy, stolen), planned)
    slow = failed(of(verdicts, Quantity.BATCH_LATENCY))
    assert slow
    assert all(verdict.cause.startswith(cause) for verdict in slow)


def test_batches_that_waited_for_a_core_are_not_the_profiles_fault(planned: PlannedFor) -> None:
    """Batches of twice the time, of which the node's thread computed a half."""
    rows = simulate(slower(planned.setting, 2.0, "client-0"), planned.plan, [planned.phase], seed=5)
    assert rows.run.wall_s == pytest.approx(rows.run.busy_s)
    busy_s = {**rows.run.busy_s, "client-0": rows.run.busy_s["client-0"] / 2.0}
    run = rows.run.model_copy(update={"busy_s": busy_s})
    slow = failed(of(judge_run(replace(rows, run=run), planned), Quantity.BATCH_LATENCY))
    assert slow
    assert all(
        verdict.cause
        == f"{Cause.INTERFERENCE}: batches of client-0 waited for a core for 50% of their time"
        for verdict in slow
    )


def test_late_batches_of_an_emulated_device_are_to_blame(planned: PlannedFor) -> None:
    rows = simulate(slower(planned.setting, 2.0, "client-0"), planned.plan, [planned.phase], seed=5)
    run = rows.run.model_copy(
        update={"batches": {"client-0": 100}, "late_batches": {"client-0": 30}}
    )
    slow = failed(of(judge_run(replace(rows, run=run), planned), Quantity.BATCH_LATENCY))
    assert slow[0].cause == f"{Cause.LATE_BATCHES}: 30.0% of the batches of client-0 came late"


def test_a_slow_link_is_found(planned: PlannedFor) -> None:
    event = TimelineEvent.model_validate(
        {"at_s": 5, "slow_link": {"link": ["client-0", "edge-0"], "factor": 6}}
    )
    rows = simulate(planned.setting, planned.plan, [planned.phase], seed=5, timeline=[event])
    verdicts = judge_run(rows, planned)
    late = failed(of(verdicts, Quantity.LINK_TIME))
    assert [verdict.where for verdict in late] == ["mean of answers from above client-0"]
    assert late[0].cause.startswith(f"{Cause.SLOW_LINK}: client-0 to edge-0")


def test_a_lost_node_is_found(planned: PlannedFor) -> None:
    event = TimelineEvent(at_s=5.0, kill_node="edge-0")
    rows = simulate(planned.setting, planned.plan, [planned.phase], seed=5, timeline=[event])
    wrong = failed(judge_run(rows, planned))
    assert any(verdict.quantity is Quantity.ROUTE_SHARE for verdict in wrong)
    assert any(verdict.cause.startswith(Cause.NODE_LOST) for verdict in wrong)


def test_another_load_is_found(planned: PlannedFor) -> None:
    doubled = planned.phase.scaled(2.0)
    rows = simulate(planned.setting, planned.plan, [doubled], seed=5)
    verdicts = judge_run(rows, planned)
    busy = failed(of(verdicts, Quantity.UTILIZATION))
    assert busy
    assert all(verdict.cause.startswith(Cause.LOAD_DRIFT) for verdict in busy)
    assert not failed(of(verdicts, Quantity.LATENCY_P95))  # the simulation had that load too


def test_bursts_are_found(planned: PlannedFor) -> None:
    bursty = planned.phase.model_copy(
        update={
            "arrivals": {
                EVERY_CLIENT: MmppArrivals.model_validate(
                    {
                        "kind": "mmpp",
                        "hold_mean": True,
                        "correlation": 1.0,
                        "states": [
                            {"factor": 0.1, "dwell_s": 6.0},
                            {"factor": 12.0, "dwell_s": 0.8},
                        ],
                    }
                )
            }
        }
    )
    rows = simulate(planned.setting, planned.plan, [bursty], seed=7)
    wrong = failed(judge_run(rows, planned))
    assert {verdict.quantity for verdict in wrong} >= {Quantity.ROUTE_SHARE, Quantity.ACCURACY}
    assert all(verdict.cause.startswith(Cause.BURST) for verdict in wrong)


def test_full_ways_in_bursts_that_were_planned_for_are_found(planned: PlannedFor) -> None:
    """The plan knows of the counts of a window, not that bursts last for several."""
    phase = Demand.load(SPECS / "bursty-demand.yaml").phases[0]
    window_s = planned.setting.topology.node("edge-0").window_s
    stated = {client: phase.dispersion_of(client, window_s) for client in phase.rates_qps}
    phase = phase.model_copy(update={"dispersion": stated})
    plan = solve(planned.setting.problem(phase), "certified").plan
    rows = simulate(planned.setting, plan, [phase], seed=7)
    assert np.mean((rows.reason != "") & rows.answered) > 0.02
    wrong = failed(judge_run(rows, PlannedFor(planned.setting, plan, phase)))
    assert wrong
    assert all(verdict.cause.startswith((Cause.BURST, Cause.SPILLED)) for verdict in wrong)
    assert any(verdict.cause.startswith(Cause.SPILLED) for verdict in wrong)


def test_a_late_generator_is_found(planned: PlannedFor, as_predicted: Measurements) -> None:
    late = replace(as_predicted, sent_s=as_predicted.sent_s + 0.3, done_s=as_predicted.done_s + 0.3)
    wrong = failed(of(judge_run(late, planned), Quantity.LATENCY_P50))
    assert wrong
    assert wrong[0].cause == f"{Cause.LATE_GENERATOR}: one query in a hundred by 300 ms or more"


def test_a_late_generator_is_not_to_blame_for_more_than_its_lateness(
    planned: PlannedFor, as_predicted: Measurements
) -> None:
    late = replace(
        as_predicted, sent_s=as_predicted.sent_s + 0.03, done_s=as_predicted.done_s + 0.3
    )
    wrong = failed(of(judge_run(late, planned), Quantity.LATENCY_P50))
    assert [verdict.cause for verdict in wrong] == [NOTHING_KNOWN]
    evidence = Evidence({Cause.LATE_GENERATOR: {"": "late"}}, {Quantity.LATENCY_P50: 0.03})
    for off_s, blamed in ((0.05, True), (0.07, False), (-0.02, False)):
        cause = evidence.cause_of(Quantity.LATENCY_P50, Source.SIMULATION, off_s)
        assert cause.startswith(Cause.LATE_GENERATOR) is blamed
    unknown = evidence.cause_of(Quantity.BATCH_SIZE, Source.SIMULATION, 2.0)
    assert unknown == f"{Cause.LATE_GENERATOR}: late"


def test_cards_that_do_not_fit_the_pictures_are_found(
    planned: PlannedFor, as_predicted: Measurements
) -> None:
    rng = np.random.default_rng(0)
    scored = np.clip(0.7 * as_predicted.score + rng.normal(0, 0.05, len(as_predicted)), 0, 1)
    poor = replace(as_predicted, score=np.where(as_predicted.answered, scored, 0.0))
    wrong = failed(judge_run(poor, planned))
    assert {verdict.quantity for verdict in wrong} == {
        Quantity.ACCURACY, Quantity.TASK_ACCURACY,
    }  # fmt: skip
    assert all(verdict.cause.startswith(Cause.OTHER_PICTURES) for verdict in wrong)


def test_what_nothing_explains_says_so(planned: PlannedFor, as_predicted: Measurements) -> None:
    odd = replace(as_predicted, done_s=as_predicted.done_s + 0.3)
    wrong = failed(of(judge_run(odd, planned), Quantity.LATENCY_P50))
    assert [verdict.cause for verdict in wrong] == [NOTHING_KNOWN]


def test_few_queries_leave_a_prediction_unsure(planned: PlannedFor) -> None:
    brief = planned.phase.model_copy(update={"duration_s": 1.5})
    rows = simulate(planned.setting, planned.plan, [brief], seed=9)
    verdicts = judge_run(rows, planned)
    assert not failed(of(verdicts, Quantity.ACCURACY))
    assert any(verdict.held is Held.UNSURE for verdict in verdicts)


def test_of_a_plan_that_changed_only_batch_times_are_judged(
    planned: PlannedFor, as_predicted: Measurements
) -> None:
    version = as_predicted.plan_version.copy()
    version[len(version) // 2 :] += 1
    verdicts = judge_run(replace(as_predicted, plan_version=version), planned)
    assert {verdict.quantity for verdict in verdicts} == {Quantity.BATCH_LATENCY}


def test_a_slow_machine_takes_no_more_accuracy_than_it_refuses_queries() -> None:
    slow = {Cause.INTERFERENCE: {"": "busy"}}

    def cause(refused: float | None, off: float, pictures: str = "") -> str:
        found = {**slow, Cause.OTHER_PICTURES: {"": pictures}} if pictures else slow
        return Evidence(found, {}, refused).cause_of(Quantity.ACCURACY, Source.PLAN, off)

    assert cause(0.06, -0.1).startswith(Cause.INTERFERENCE)
    assert cause(0.04, -0.1) == NOTHING_KNOWN
    assert cause(0.06, 0.1) == NOTHING_KNOWN
    assert cause(None, -0.1).startswith(Cause.INTERFERENCE)  # of two looks, which count none
    assert cause(0.06, -0.1, "four pictures").startswith(Cause.OTHER_PICTURES)
