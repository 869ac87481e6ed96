"""A plan for the demo's first mix, and a run under it that went as predicted."""

from __future__ import annotations

import pytest

from planner.policies import solve
from serving.simulation.simulate import simulate
from serving.traffic.measurement import Measurements
from serving.verdicts.judge import PlannedFor
from support.demo_setting import demo_demand, demo_setting


@pytest.fixture(scope="session")
def planned() -> PlannedFor:
    setting = demo_setting()
    phase = demo_demand().phases[0].model_copy(update={"duration_s": 40.0})
    return PlannedFor(setting, solve(setting.problem(phase), "certified").plan, phase)


@pytest.fixture(scope="session")
def as_predicted(planned: PlannedFor) -> Measurements:
    return simulate(planned.setting, planned.plan, [planned.phase], seed=5)
