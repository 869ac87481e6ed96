"""What the loop's memory begins with."""

from __future__ import annotations

from planner.policies import Options, solve
from serving.replan.decision_input import DecisionOptions
from serving.replan.estimate.load_estimate import EstimatorState
from serving.replan.loop_state import LoopState
from serving.replan.replanner import Replanner
from support.demo_setting import demo_demand, demo_setting


def test_a_loop_believes_the_bursts_that_its_plan_was_made_for_until_it_has_a_state() -> None:
    setting = demo_setting()
    calm = solve(setting.problem(demo_demand().phases[0]), "all-local", Options()).plan
    bursty = calm.model_copy(update={"dispersion": {"client-0": 15.0}})
    two_windows_s = 2 * setting.topology.edges[0].window_s  # F17 counts in those
    believed = EstimatorState.before_looking({"client-0": 15.0}, two_windows_s, 1.0)
    assert believed != EstimatorState()
    for known, expected in ((calm, EstimatorState()), (bursty, believed)):
        begun = Replanner(setting, LoopState(plan=known), DecisionOptions())
        assert begun.state.estimator == expected
    seen = LoopState(plan=bursty, estimator=EstimatorState.before_looking({"c": 2.0}, 1.0, 1.0))
    assert Replanner(setting, seen, DecisionOptions()).state.estimator == seen.estimator
