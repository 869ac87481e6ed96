"""T6: a plan made with another device's profile loses, and the loop wins that back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.policies import Options, solve
from serving.simulation.simulate import simulate
from simulated_predictions import on_own_devices, slower_devices, won_back_s
from support.demo_setting import demo_demand, demo_setting

PHASE = demo_demand().phases[0].model_copy(update={"duration_s": 25.0})


def test_a_share_of_a_device_and_a_slower_one_of_its_own_have_the_same_plan() -> None:
    shared, own = (
        solve(setting.problem(PHASE), "certified", Options())
        for setting in (demo_setting(), on_own_devices(demo_setting()))
    )
    assert own.objective == pytest.approx(shared.objective)
    assert own.plan.onloading == shared.plan.onloading
    used = shared.evaluation.summary().utilization_by_node
    for node in demo_setting().topology.nodes:
        share = own.evaluation.summary().utilization_by_node[node.name]
        assert share * node.compute == pytest.approx(used[node.name])


@pytest.mark.slow
def test_slower_devices_lose_what_the_loop_wins_back_and_spill_over_hides() -> None:
    found = slower_devices(demo_setting(), PHASE, 4.0, seed=0)
    assert found.lost > 0.1
    assert 2.0 < found.won_back_s < 15.0
    assert found.lost_spilling < 0.05


def test_it_is_won_back_where_it_stays_won_and_not_before() -> None:
    setting = demo_setting()
    plan = solve(setting.problem(PHASE), "baj3o").plan
    known = simulate(setting, plan, [PHASE])
    refused = np.full(len(known), "shed")
    frozen = replace(known, outcome=refused)
    looped = replace(known, outcome=np.where(known.scheduled_s < 12.0, refused, known.outcome))
    assert won_back_s(frozen, looped, known, setting) == pytest.approx(12.0, abs=1.0)
    assert won_back_s(frozen, frozen, known, setting) == 25.0
    assert won_back_s(known, known, known, setting) == 0.0
