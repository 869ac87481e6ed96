"""A change of routes only: the best shares for the models that nodes hold already."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.evaluate import evaluate
from planner.plan import PlanError
from planner.policies import Options, solve, solve_shares
from support.planner_cases import one_client, random_problem


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("overrun", [None, 0.05])
def test_the_shares_are_at_least_as_good_as_those_of_the_plan(
    seed: int, overrun: float | None
) -> None:
    problem = random_problem(seed)
    plan = solve(problem, "certified", Options(overrun=overrun)).plan
    again = solve_shares(problem, plan.onloading, Options(overrun=overrun))
    assert again.objective >= evaluate(problem, plan).objective * (1 - 5e-3)
    assert again.objective <= again.certificate.upper_bound
    assert evaluate(problem, again.plan, fill=0.6 if overrun is None else 1.0).feasible
    assert again.plan.onloading == plan.onloading


def test_a_model_that_gets_no_query_stays_where_it_is() -> None:
    problem = replace(one_client(), load_ct=np.array([[6.0, 0.0]]))
    held = {"c0": ["small-a", "small-b"], "e0": ["big", "small-b"]}
    found = solve_shares(problem, held).plan
    assert set(found.onloading["c0"]) == {"small-a", "small-b"}
    assert set(found.onloading["e0"]) == {"big", "small-b"}
    assert {route.task for route in found.routes} == {"a"}


def test_shares_follow_the_load_while_models_stay() -> None:
    held = {"c0": ["small-a"], "e0": ["small-b"]}
    found = solve_shares(one_client(cloud_accuracy_t=[0.0, 0.0]), held)
    # 6 queries/s of `a` at 0.5 and 4 of `b` at 0.4, and nothing binds.
    assert found.objective == pytest.approx((6 * 0.5 + 4 * 0.4) / 10)


def test_names_and_sizes_are_checked_first() -> None:
    with pytest.raises(PlanError, match=r"onloading\.c0: the problem has no model 'bgi'"):
        solve_shares(one_client(), {"c0": ["bgi"]})
    with pytest.raises(PlanError, match=r"onloading\.c0: its models take 110 bytes, c0 has 105"):
        solve_shares(one_client(client_memory_c=[105.0]), {"c0": ["small-a", "big"]})
