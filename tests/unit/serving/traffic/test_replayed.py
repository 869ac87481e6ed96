"""The queries of a measured run are sent again as they came."""

from __future__ import annotations

import numpy as np
import pytest

from cluster.errors import InputError
from planner.policies import solve
from serving.simulation.simulate import simulate, simulate_schedule
from serving.traffic.replayed import schedule_of
from support.demo_setting import demo_demand, demo_setting
from support.same_rows import assert_same_rows


def test_a_simulated_run_comes_back_to_the_last_digit() -> None:
    setting, demand = demo_setting(), demo_demand()
    phases = [phase.model_copy(update={"duration_s": 4.0}) for phase in demand.phases[:2]]
    plan = solve(setting.problem(phases[0]), "certified").plan
    rows = simulate(setting, plan, phases, seed=4)
    again = simulate_schedule(setting, plan, schedule_of(rows), seed=4)
    assert_same_rows(rows, again)
    assert again.run.link_bytes == rows.run.link_bytes != {}
    assert again.run.phase_starts_s == rows.run.phase_starts_s


def test_of_a_run_without_queries_nothing_can_be_sent_again() -> None:
    setting = demo_setting()
    phase = demo_demand().phases[0].model_copy(update={"duration_s": 2.0})
    rows = simulate(setting, solve(setting.problem(phase), "all-local").plan, [phase])
    with pytest.raises(InputError, match="no query"):
        schedule_of(rows.select(np.zeros(len(rows), dtype=bool)))
