"""What a plan is worth under a load that it was not made for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.allocation import Allocation
from planner.evaluate import accuracy_qps_t
from planner.instances import sample_problem
from planner.policies import Options, solve
from planner.problem import Problem
from serving.replan.plan_value import RoutedPlan
from serving.replan.scenarios import Moments
from support.bundle_cases import random_bundles
from support.replan_cases import problem

ALWAYS_THE_MEAN = Moments(np.ones(1), np.ones((1, 1)))


def moments(problem: Problem, *factors: float) -> Moments:
    weight_s = np.full(len(factors), 1.0 / len(factors))
    return Moments(weight_s, np.repeat(np.array(factors)[:, None], len(problem.clients), axis=1))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("regime", ["mixed", "communication"])
def test_a_plan_that_keeps_its_budgets_is_worth_its_objective(seed: int, regime: str) -> None:
    stated = sample_problem("random", regime, 2, 4, seed)
    found = solve(stated, "certified", Options(gap=0.01))
    value = RoutedPlan(stated, found.allocation, False).value(stated.load_ct, moments(stated, 1.0))
    assert value.objective == pytest.approx(found.objective, rel=1e-6)
    assert value.right_qps == pytest.approx(
        float(accuracy_qps_t(stated, found.allocation).sum()), rel=1e-6
    )


@pytest.mark.parametrize("seed", range(6))
def test_a_plan_whose_tasks_share_passes_is_worth_its_objective(seed: int) -> None:
    stated = random_bundles(seed)
    found = solve(stated, "exact", Options(gap=0.01, time_limit_s=10.0))
    plan = RoutedPlan(stated, found.allocation, False)
    value = plan.value(stated.load_ct, moments(stated, 1.0))
    assert value.objective == pytest.approx(found.objective, rel=1e-6)


def test_shared_passes_leave_a_device_time_for_more() -> None:
    """A pass takes 40 ms and answers both tasks: 20 images a second keep a client busy for .8 s of
    every second. Asked alone, 40 queries would take 1.6 s."""
    stated = problem(20.0, 20.0).changed(
        accuracy_mt=np.array([[0.7, 0.7], [0.0, 0.0]]),
        client_marginal_cm=np.array([[0.039, 1.0]]),
    )
    together = stated.changed(bundle_bt=np.array([[1.0, 1.0]]), bundle_load_cb=np.array([[20.0]]))
    none = Allocation.empty(stated)
    local_ctm = none.local_ctm.copy()
    local_ctm[0, :, 0] = 1.0
    held = np.array([[True, False]])
    all_local = replace(none, onloaded_cm=held, local_ctm=local_ctm)
    for asked, accuracy in ((stated, 0.7 / 1.6), (together, 0.7)):
        value = RoutedPlan(asked, all_local, False).value(asked.load_ct, ALWAYS_THE_MEAN)
        assert value.objective == pytest.approx(accuracy, rel=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_more_load_never_gives_a_larger_share_of_right_answers(seed: int) -> None:
    stated = sample_problem("random", "mixed", 2, 4, seed)
    plan = RoutedPlan(stated, solve(stated, "certified", Options(gap=0.01)).allocation, False)
    values = [
        plan.value(stated.load_ct, moments(stated, factor)).objective
        for factor in (0.5, 1.0, 2.0, 4.0)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-6)
    assert values[1] >= values[2] >= values[3]
    assert values[3] < 0.9 * values[1]


def sends_up(link_qps: float) -> tuple[Problem, Allocation]:
    """Everything of `depth` goes to the edge's model; the client holds the same one as refuge."""
    stated = replace(problem(10.0, 0.0, link_qps=link_qps), edge_memory_e=np.ones(1))
    none = Allocation.empty(stated)
    edge_atm = none.edge_atm.copy()
    edge_atm[0, 0, 0] = 1.0
    held = np.array([[True, False]])
    return stated, replace(none, onloaded_cm=held, onloaded_em=held, edge_atm=edge_atm)


def test_what_a_full_link_turns_away_is_lost() -> None:
    stated, allocation = sends_up(link_qps=4.0)
    value = RoutedPlan(stated, allocation, False).value(stated.load_ct, ALWAYS_THE_MEAN)
    assert value.objective == pytest.approx(0.9 * 0.4)


def test_what_a_full_link_turns_away_is_answered_at_home_where_the_system_spills_over() -> None:
    stated, allocation = sends_up(link_qps=4.0)
    value = RoutedPlan(stated, allocation, True).value(stated.load_ct, ALWAYS_THE_MEAN)
    assert value.objective == pytest.approx(0.9)
    slow = replace(stated, client_marginal_cm=np.full((1, 2), 0.499))
    value = RoutedPlan(slow, allocation, True).value(stated.load_ct, ALWAYS_THE_MEAN)
    assert value.objective == pytest.approx(0.9 * 0.6)  # two queries a second have time at home


def test_in_a_lull_a_plan_is_worth_what_its_ways_are_and_in_a_burst_what_they_carry() -> None:
    stated, allocation = sends_up(link_qps=10.0)
    plan = RoutedPlan(stated, allocation, False)
    value = plan.value(stated.load_ct, moments(stated, 0.5, 1.5))
    assert value.load_qps == pytest.approx(10.0)
    assert value.right_qps == pytest.approx(0.9 * (5.0 + 10.0) / 2)


def test_a_setup_that_fills_the_window_leaves_no_room_for_queries() -> None:
    stated, allocation = sends_up(link_qps=100.0)
    full = replace(stated, edge_setup_em=np.full((1, 2), 1.0))
    value = RoutedPlan(full, allocation, False).value(stated.load_ct, ALWAYS_THE_MEAN)
    assert value.objective == 0.0
