"""What Prometheus gets to see of the live loop."""

from __future__ import annotations

from math import isnan

import pytest

from planner.plan import Plan
from serving.replan.estimate.calibration import Calibration, MeasuredRatio
from serving.replan.loop import LookReport
from serving.replan.loop_metrics import LoopMetrics
from serving.replan.need import cause_of
from serving.replan.replanner import Look
from support.looped import look_report, loop_metrics
from support.replan_cases import plan_for, problem


def present() -> Plan:
    return plan_for(problem(10, 0.1))


def value(metrics: LoopMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


@pytest.mark.parametrize(
    ("report", "outcome"),
    [
        (look_report(0.1, 10, "the load has changed"), "changed"),
        (look_report(10, 0.1, "the load has changed"), "stayed"),
        (look_report(10, 0.1, "the load has changed", fault="no plan"), "failed"),
        (look_report(0.1, 10, "the load has changed", overtaken=True), "overtaken"),
    ],
)
def test_decisions_count_by_why_they_were_made_and_how_they_ended(
    report: LookReport, outcome: str
) -> None:
    metrics = LoopMetrics(present())
    metrics.look(report)
    found = value(metrics, "testbed_decisions_total", cause="the load has changed", outcome=outcome)
    assert found == 1
    assert value(metrics, "testbed_looks_total") == 1
    assert value(metrics, "testbed_decision_seconds_sum") == pytest.approx(0.2)


def test_a_look_without_a_decision_counts_as_a_look_alone() -> None:
    metrics = LoopMetrics(present())
    metrics.look(LookReport(Look(1.0, present()), present()))
    assert value(metrics, "testbed_looks_total") == 1
    assert value(metrics, "testbed_decision_seconds_count") == 0


def test_what_links_carry_and_devices_take_is_shown_by_name() -> None:
    metrics = LoopMetrics(present())
    measured = Calibration(
        links={"c to e": MeasuredRatio(recent=(0.24, 0.25, 0.3))},
        round_trips={"c to e": MeasuredRatio(recent=(2.0,))},
        devices={"e": MeasuredRatio(recent=(1.5,))},
    )
    metrics.look(LookReport(Look(1.0, present(), calibration=measured), present()))
    ratio = "testbed_measured_ratio"
    assert value(metrics, ratio, kind="link", place="c to e") == pytest.approx(0.25)
    assert value(metrics, ratio, kind="round trip", place="c to e") == pytest.approx(2.0)
    assert value(metrics, ratio, kind="device", place="e") == pytest.approx(1.5)


def test_the_proof_of_the_plan_in_force_and_what_it_leaves_are_shown() -> None:
    metrics = loop_metrics()
    made = look_report(0.1, 10, "").look.made
    assert made is not None
    assert made.decision is not None
    chosen = made.decision.alternatives[made.decision.chosen]
    assert chosen.planned_objective is not None
    assert value(metrics, "testbed_plan_objective") == pytest.approx(chosen.planned_objective)
    assert value(metrics, "testbed_plan_upper_bound") == pytest.approx(chosen.upper_bound)
    assert value(metrics, "testbed_plan_gap") == pytest.approx(chosen.gap)
    assert value(metrics, "testbed_load_qps") == pytest.approx(10.1)
    # Its model fills the client's memory; the client is busy for 2 ms a query of ten.
    assert value(metrics, "testbed_budget_spare", label="F4", place="c") == pytest.approx(0.0)
    busy = value(metrics, "testbed_budget_spare", label="F5", place="c")
    assert busy == pytest.approx(1 - 10 * 0.002 / 0.6, abs=1e-3)


def test_a_plan_without_a_proof_shows_none() -> None:
    plan = present()
    proof = plan.certificate
    assert proof is not None
    metrics = LoopMetrics(plan)
    assert value(metrics, "testbed_plan_gap") == pytest.approx(proof.gap)
    metrics._tell_proof(0.8, None, None)
    gap = value(metrics, "testbed_plan_gap")
    assert gap is not None
    assert isnan(gap)


@pytest.mark.parametrize(
    ("why", "cause"),
    [
        ("the rate of client-3/depth has moved", "a rate has moved"),
        ("edge-0 to cloud is not as it was", "a link or node is not as it was"),
        ("client-1 sends burstier", "a client sends burstier"),
        ("client-1 asks other tasks together", "a client asks other tasks together"),
        ("nodes came or went", "nodes came or went"),
    ],
)
def test_causes_have_no_names_in_them(why: str, cause: str) -> None:
    assert cause_of(why) == cause
