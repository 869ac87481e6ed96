"""What `testbed status` says of links and devices, by what the live loop has measured."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from cluster.providers.state import state_path
from serving.cli.cluster_verbs import _tell_measured
from serving.cli.console import VerbOutput
from serving.deploy.assignment_record import PlanInForce
from serving.replan.estimate.calibration import Calibration, MeasuredRatio
from serving.replan.loop_state import LoopState, hold_loop_lock, state_file
from support.demo_setting import demo_setting
from support.replan_cases import plan_for, problem

PLAN = plan_for(problem(10, 0.1))
DEMO = demo_setting().topology
IN_FORCE = cast(PlanInForce, SimpleNamespace(plan=PLAN))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path))
    return state_path().parent


def test_it_names_what_plans_go_by_and_tells_programs_the_rest(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = Calibration(
        links={"c to e": MeasuredRatio(recent=(0.99,))},
        devices={"e": MeasuredRatio(recent=(1.5, 1.6, 1.7), used=1.6)},
        round_trips={
            "client-0 to edge-0": MeasuredRatio(recent=(1.1, 1.1, 1.1)),
            "edge-0 to cloud": MeasuredRatio(recent=(2.0, 2.5, 3.0), used=2.5),
        },
    )
    LoopState(plan=PLAN, calibration=measured).save(state_file(folder))
    with hold_loop_lock(folder):
        told = _tell_measured(VerbOutput(), IN_FORCE, DEMO)
    assert told == {
        "devices": {"e": {"value": 1.6, "looks": 3, "used": 1.6}},
        "links": {"c to e": {"value": 0.99, "looks": 1, "used": 1.0}},
        "round_trips": {
            "client-0 to edge-0": {
                "value_s": pytest.approx(0.0054), "looks": 3, "used_s": pytest.approx(0.004),
            },
            "edge-0 to cloud": {
                "value_s": pytest.approx(0.09), "looks": 3, "used_s": pytest.approx(0.09),
            },
        },
    }  # fmt: skip
    said = " ".join(capsys.readouterr().out.split())
    assert said == (
        "e: batches took 1.60 times as long as profiled; the live loop plans with 1.6 "
        "edge-0 to cloud: the round trip takes 90 ms, 30 ms are stated; the live loop plans with "
        "90 ms"
    )
    _tell_measured(VerbOutput(), IN_FORCE, DEMO)
    said = " ".join(capsys.readouterr().out.split())
    assert "as profiled; the live loop ended 0 s ago and planned with 1.6" in said


def test_without_a_loop_or_under_another_plan_nothing_is_said(folder: Path) -> None:
    assert _tell_measured(VerbOutput(), IN_FORCE, DEMO) is None
    other = PLAN.model_copy(update={"version": PLAN.version + 1})
    LoopState(plan=other).save(state_file(folder))
    assert _tell_measured(VerbOutput(), IN_FORCE, DEMO) is None
    assert _tell_measured(VerbOutput(), None, DEMO) is None
