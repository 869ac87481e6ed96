"""What a plan's file says of the plan is worked out anew, and not believed."""

from __future__ import annotations

from functools import cache

import pytest

from planner.certificate import Status
from planner.instances import sample_problem
from planner.plan import Plan
from planner.policies import Options, solve
from planner.policies.recompute import recompute
from planner.problem import Problem


def drawn_problem() -> Problem:
    return sample_problem("random", edges=1, clients_per_edge=3, seed=4)


@cache
def case(policy: str = "certified") -> tuple[Problem, Plan]:
    problem = drawn_problem()
    return problem, solve(problem, policy, Options()).plan


@pytest.mark.parametrize("policy", ["certified", "all-edge", "random"])
def test_a_plan_as_it_was_made_keeps_its_figures(policy: str) -> None:
    problem, plan = case(policy)
    found = recompute(plan, problem)
    assert found.false_claim == ""
    assert found.plan.predicted == plan.predicted
    assert plan.certificate is not None
    assert found.plan.certificate is not None
    assert found.plan.certificate.objective == pytest.approx(plan.certificate.objective)
    assert found.plan.certificate.upper_bound == plan.certificate.upper_bound


@pytest.mark.parametrize("where", ["predicted", "certificate"])
def test_an_objective_that_was_written_by_hand_is_found_out(where: str) -> None:
    problem, plan = case()
    part = getattr(plan, where).model_copy(update={"objective": 0.99})
    found = recompute(plan.model_copy(update={where: part}), problem)
    true = found.evaluation.objective
    assert true < 0.98
    assert f"0.9900, and {true:.4f} follows from its routes" in found.false_claim
    assert found.plan.predicted is not None
    assert found.plan.predicted.objective == true
    assert found.plan.certificate is not None
    assert found.plan.certificate.objective == true
    assert found.plan.certificate.status is Status.FEASIBLE
    assert true <= found.plan.certificate.upper_bound < 0.99
    assert found.plan.certificate.bound_method == "linear relaxation (F9)"


def test_a_bound_below_the_plan_itself_is_found_out() -> None:
    problem, plan = case()
    assert plan.certificate is not None
    low = plan.certificate.model_copy(update={"upper_bound": 0.1})
    found = recompute(plan.model_copy(update={"certificate": low}), problem)
    assert found.false_claim.startswith("it says an upper bound of 0.1000")
    assert found.plan.certificate is not None
    assert found.plan.certificate.upper_bound >= found.evaluation.objective


def test_a_plan_that_says_nothing_gets_a_prediction_and_a_bound() -> None:
    problem, plan = case("all-edge")
    bare = plan.model_copy(update={"predicted": None, "certificate": None})
    found = recompute(bare, problem)
    assert found.false_claim == ""
    assert found.plan.predicted == plan.predicted
    assert found.plan.certificate is not None
    assert found.plan.certificate.gap >= 0


def test_a_plan_for_the_least_client_keeps_what_it_maximised() -> None:
    problem = drawn_problem()
    plan = solve(problem, "exact", Options(objective="least", gap=0.01)).plan
    found = recompute(plan, problem)
    assert found.false_claim == ""
    assert found.plan.certificate is not None
    assert found.plan.certificate.objective == pytest.approx(found.evaluation.least_accuracy)


def test_the_digest_of_a_plan_is_that_of_what_it_decides() -> None:
    _, plan = case()
    same = plan.model_copy(update={"version": 9, "certificate": None, "profiles_digest": "x"})
    assert same.digest == plan.digest
    routes = (plan.routes[0].model_copy(update={"share": 0.5}), *plan.routes[1:])
    assert plan.model_copy(update={"routes": routes}).digest != plan.digest
    assert plan.model_copy(update={"load_qps": {}}).digest != plan.digest
    assert Plan.parse(plan.model_dump(mode="json", exclude_none=True)).digest == plan.digest


def test_what_a_plan_says_of_another_problem_is_neither_believed_nor_called_false() -> None:
    problem, plan = case("all-edge")
    other = plan.model_copy(update={"problem_digest": "0"})
    found = recompute(other, problem)
    assert found.false_claim == ""
    assert found.plan.predicted == plan.predicted
    assert found.plan.certificate is not None
    assert found.plan.certificate.bound_method == "linear relaxation (F9)"
