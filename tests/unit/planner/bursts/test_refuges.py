"""Refuges: memory that a plan leaves free holds what answers when links are full."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.allocation import Allocation
from planner.bursts.refuges import keep_held, with_refuges
from planner.evaluate import evaluate
from planner.policies import POLICIES, Options, solve
from planner.problem import Problem
from support.planner_cases import one_client, random_problem

HALF = np.array([0.5])


def all_up(**changes: object) -> tuple[Problem, Allocation]:
    """Task `a` goes to the cloud, `b` is shed; the client holds nothing and has room for 20."""
    problem = one_client(client_memory_c=[20.0], **changes)
    plan = Allocation.empty(problem)
    plan.cloud_at[0, 0] = 1.0
    return problem, plan


def test_a_client_gets_the_model_that_answers_what_it_sends_up() -> None:
    problem, plan = all_up()
    assert with_refuges(problem, plan, HALF).onloaded_cm.tolist() == [[True, False, False]]
    assert with_refuges(problem, plan, np.zeros(1)).onloaded_cm.sum() == 0
    full = replace(problem, client_memory_c=np.array([9.0]))
    assert with_refuges(full, plan, HALF).onloaded_cm.sum() == 0


def test_a_refuge_is_loaded_only_if_it_is_worth_the_load() -> None:
    """Half of 6 queries/s overflow, at 0.5 each: worth 1.5 right answers/s."""
    problem, plan = all_up()
    for price, loads in ((1.4, True), (1.6, False)):
        priced = replace(problem, client_moving_cm=np.array([[price, 0.0, 0.0]]))
        assert with_refuges(priced, plan, HALF).onloaded_cm[0, 0] == loads


def test_a_model_that_is_too_slow_for_its_deadline_is_no_refuge() -> None:
    problem, plan = all_up(deadline_t=[0.015, np.inf])  # small-a takes 0.02 s
    assert with_refuges(problem, plan, HALF).onloaded_cm.sum() == 0


@pytest.mark.parametrize("policy", list(POLICIES))
def test_spillover_changes_no_route_and_breaks_no_budget(policy: str) -> None:
    problem = random_problem(9)
    plain = solve(problem, policy)
    found = solve(problem, policy, Options(spillover=True))
    assert found.plan.routes == plain.plan.routes
    assert found.evaluation.objective == plain.evaluation.objective
    assert evaluate(problem, found.plan).feasible
    for node, models in plain.plan.onloading.items():
        assert set(models) <= set(found.plan.onloading[node])


def test_an_empty_client_is_given_a_refuge() -> None:
    """Links carry everything, so the plan leaves the client empty; small models would fit it."""
    problem = one_client(client_memory_c=[20.0], cloud_accuracy_t=[0.9, 0.0])
    assert solve(problem, "certified").plan.onloading["c0"] == ()
    refuges = solve(problem, "certified", Options(spillover=True)).plan.onloading["c0"]
    assert refuges == ("small-a", "small-b")


def test_held_models_stay_as_long_as_they_fit_the_most_useful_first() -> None:
    problem, plan = all_up()
    held = replace(plan, onloaded_cm=np.array([[True, True, True]]))
    assert keep_held(problem, plan, held).onloaded_cm.tolist() == [[True, True, False]]
    tight = replace(problem, client_memory_c=np.array([15.0]))
    assert keep_held(tight, plan, held).onloaded_cm.tolist() == [[True, False, False]]
