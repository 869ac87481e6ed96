"""Simulated batches and doors scatter as the last calibration saw them, by seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.policies import solve
from profiling.calibrate import BatchTimes, corrected_profiles
from profiling.profile import Profiles, WayCost
from serving.simulation.drawn_scatter import drawn_batches, drawn_door_s
from serving.simulation.simulate import simulate
from serving.verdicts.observed import served_by, way_cost
from support.demo_setting import PROVENANCE, demo_demand, demo_setting

NODE, MODEL = "edge-0", "rooms-small-all"
SETTING = demo_setting()


def seen_to_scatter(node: str = NODE, model: str = MODEL) -> Profiles:
    """A fifth of the batches of `model` took twice as long as the others."""
    profile = SETTING.profiles.find(node, model)
    assert profile is not None
    ratio_q = np.tile([1.0, 1.0, 1.0, 1.0, 2.0], 80)
    size_q = np.ones(len(ratio_q), np.int32)
    times = BatchTimes(node, model, size_q, ratio_q * profile.batch_s(1))
    return corrected_profiles(SETTING.profiles, [times], PROVENANCE)


def test_a_calibration_keeps_how_batches_scattered() -> None:
    profile = seen_to_scatter().find(NODE, MODEL)
    assert profile is not None
    assert profile.calibration is not None
    assert np.mean(np.array(profile.calibration.scatter) > 1.5) == pytest.approx(0.2)


def test_batches_are_drawn_by_seed_whoever_else_is_drawn() -> None:
    profiles = seen_to_scatter()
    first, other = drawn_batches(profiles, 1), drawn_batches(profiles, 1)
    alone = [first(NODE, MODEL) for _ in range(2000)]
    beside = []
    for _ in range(2000):
        other("cloud", MODEL)
        beside.append(other(NODE, MODEL))
    assert alone == beside
    assert np.mean(np.array(alone) > 1.5) == pytest.approx(0.2, abs=0.03)
    again = drawn_batches(profiles, 2)
    assert alone != [again(NODE, MODEL) for _ in range(2000)]


def test_a_model_whose_batches_were_not_seen_takes_its_median() -> None:
    ratio = drawn_batches(SETTING.profiles, 1)
    assert {ratio(NODE, MODEL) for _ in range(10)} == {1.0}


def test_doors_scatter_by_client() -> None:
    way = WayCost(door_s=0.003, hop_s=0.0, scatter_s=(-0.001, 0.0, 0.007))
    client_q = np.array(["a", "b"] * 3000)
    door_s_q = drawn_door_s(way, client_q, 1)
    assert set(np.round(door_s_q, 6)) == {0.002, 0.003, 0.01}
    assert door_s_q.mean() == pytest.approx(0.005, abs=2e-4)
    np.testing.assert_array_equal(door_s_q[::2], drawn_door_s(way, client_q[::2], 1))
    assert np.all(drawn_door_s(way.model_copy(update={"scatter_s": ()}), client_q, 1) == 0.003)


def test_a_simulation_shows_the_scatter_that_it_was_given() -> None:
    phase = demo_demand().phases[0].model_copy(update={"duration_s": 30.0})
    plan = solve(SETTING.problem(phase), "certified").plan
    plain = served_by(simulate(SETTING, plan, [phase], seed=3))
    most = max(plain, key=lambda each: each.batches)
    way = WayCost(door_s=0.003, hop_s=0.0, scatter_s=(-0.001,) * 20 + (0.0,) * 10 + (0.02,) * 10)
    profiles = seen_to_scatter(most.node, most.model).model_copy(update={"way": way})
    known = replace(SETTING, profiles=profiles)
    rows = simulate(known, plan, [phase], seed=3)
    found = way_cost(rows)
    assert found is not None
    assert np.mean(np.array(found.scatter_s) > 0.015) == pytest.approx(0.25, abs=0.05)
    assert found.door_s == pytest.approx(0.002, abs=1e-3)
    (again,) = [
        each for each in served_by(rows) if (each.node, each.model) == (most.node, most.model)
    ]
    profile = profiles.find(most.node, most.model)
    assert profile is not None
    assert np.mean(again.spent_s_q / again.stated_s_q(profile) > 1.5) == pytest.approx(0.2, abs=0.1)
    np.testing.assert_array_equal(rows.done_s, simulate(known, plan, [phase], seed=3).done_s)
