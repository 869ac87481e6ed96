"""What an experiment asks for is what the simulator is told."""

from __future__ import annotations

import pytest

from cluster.timeline import TimelineEvent
from planner.policies import Options, solve
from serving.experiment_runs.request import RunRequest, SimulatedRuns
from serving.replan.options import ReplanOptions
from serving.routing.routes import RoutingMode
from support.demo_setting import demo_demand, demo_setting

SETTING = demo_setting()
CALM = demo_demand().phases[0].model_copy(update={"duration_s": 7.0})


@pytest.fixture(scope="module")
def request_() -> RunRequest:
    plan = solve(SETTING.problem(CALM), "all-edge", Options()).plan
    kill = TimelineEvent(at_s=2.0, kill_node="edge-0")
    return RunRequest(
        SETTING, plan, planned_for=CALM, phases=(CALM,), seed=4, options=ReplanOptions(),
        timeline=(kill,), routing=RoutingMode.PENALTY,
    )  # fmt: skip


def test_two_runs_of_one_request_are_the_same(request_: RunRequest) -> None:
    runs = SimulatedRuns(planning_s=0.75)
    first, second = runs.run(request_), runs.run(request_)
    assert not runs.live
    assert (first.measurements.done_s == second.measurements.done_s).all()
    assert (first.measurements.model == second.measurements.model).all()
    assert len(first.looks) == len(second.looks) > 0
    took_s = {
        (look.made.question.given.shares_only, round(look.made.took_s, 9))
        for look in first.looks
        if look.made is not None
    }
    assert took_s <= {(False, 0.75), (True, 0.1875)}
    assert (False, 0.75) in took_s
    away = first.measurements
    late = (away.scheduled_s > 3.0) & (away.scheduled_s < 4.0)
    assert "edge" not in set(away.tier[late])
