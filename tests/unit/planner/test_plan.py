"""Plans name nodes and models; what does not belong to the problem is refused with its path."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from planner.plan import Plan, PlanError, Route, allocation_of, plan_of
from planner.policies import solve
from support.planner_cases import one_client, random_problem


def plan(**changes: object) -> Plan:
    route = {"client": "c0", "task": "a", "tier": "client", "node": "c0", "model": "big"}
    routes = (Route.model_validate({**route, "share": 1.0, **changes}),)
    return Plan(problem_digest="", policy="hand", onloading={"c0": ("big",)}, routes=routes)


def test_arrays_and_names_say_the_same() -> None:
    problem = random_problem(4)
    first = solve(problem, "baj3o").plan
    again = plan_of(problem, allocation_of(problem, first), policy="baj3o")
    assert again.routes == first.routes
    assert again.onloading == first.onloading
    assert first.problem_digest == problem.digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "bigg"}, r"^routes\.0\.model: .*'bigg'; did you mean 'big'"),
        ({"client": "c9"}, r"^routes\.0\.client: .*no client 'c9'; did you mean 'c0'"),
        ({"task": "z"}, r"^routes\.0\.task: .*no task 'z'"),
        ({"node": "e0"}, r"^routes\.0\.node: client path of 'c0' ends at 'c0', not 'e0'"),
        ({"tier": "cloud", "node": "sky", "model": "small-a"}, r"^routes\.0\.model: the cloud"),
    ],
)
def test_a_route_that_does_not_belong_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        allocation_of(one_client(), plan(**changes))


def test_onloading_of_an_unknown_node_is_refused() -> None:
    wrong = plan().model_copy(update={"onloading": {"e1": ("big",)}})
    with pytest.raises(PlanError, match="no node 'e1'; did you mean 'e0'"):
        allocation_of(one_client(), wrong)


def test_the_cloud_holds_the_models_it_serves_with() -> None:
    assert solve(one_client(), "all-local").plan.onloading["sky"] == ("big",)


def test_a_plan_says_which_bursts_it_was_made_for() -> None:
    problem = random_problem(4)
    assert solve(problem, "baj3o").plan.dispersion == {}
    spread_c = np.ones(len(problem.clients))
    spread_c[0] = 7.0
    bursty = solve(replace(problem, dispersion_c=spread_c), "baj3o").plan
    assert bursty.dispersion == {problem.clients[0]: 7.0}
    assert Plan.parse(bursty.model_dump(mode="json", exclude_none=True)) == bursty
