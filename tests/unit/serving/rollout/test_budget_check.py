"""No plan that breaks a budget is put in force, and who tries is told which."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from planner.plan import PlanError
from planner.policies import Options, solve
from planner.problem import Problem
from serving.errors import BudgetError
from serving.rollout.budget_check import refuse_broken_budgets
from support.planner_cases import one_client


@pytest.fixture
def problem() -> Problem:
    return one_client()


def test_a_plan_within_its_budgets_passes(problem: Problem) -> None:
    refuse_broken_budgets(problem, solve(problem, "certified", Options()).plan)


def test_a_plan_for_a_lighter_load_is_refused_by_the_name_of_what_it_breaks(
    problem: Problem,
) -> None:
    plan = solve(problem, "certified", Options()).plan
    heavier = dataclasses.replace(problem, load_ct=problem.load_ct * 1_000)
    with pytest.raises(BudgetError, match="nothing was deployed") as refused:
        refuse_broken_budgets(heavier, plan)
    assert any(violation.startswith(("F5", "F7", "F9")) for violation in refused.value.violations)
    assert refused.value.violations[0] in str(refused.value)


def test_a_plan_that_names_what_is_not_there_is_refused(problem: Problem) -> None:
    plan = solve(problem, "certified", Options()).plan
    other = dataclasses.replace(problem, clients=("another-client",))
    with pytest.raises(PlanError, match=r"no node .c0."):
        refuse_broken_budgets(other, plan)


def test_the_error_survives_the_way_between_processes() -> None:
    error = BudgetError(["F4 at edge-0: 2 bytes > 1"])
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert again.violations == error.violations
