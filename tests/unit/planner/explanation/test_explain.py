"""Explanations: what binds, its price against a finite difference, why queries are shed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from planner.explanation.explain import NOTHING, explain
from planner.instances import sample_problem
from planner.policies import POLICIES, Options, solve
from support.planner_cases import one_client, random_problem

NO_CLOUD = {"cloud_accuracy_t": [0.0, 0.0], "cloud_model_t": [-1, -1]}


def test_a_full_compute_budget_is_told_with_its_price() -> None:
    problem = one_client(**NO_CLOUD, edge_memory_e=[0.0], client_compute_c=[0.1])
    told = explain(problem, solve(problem, "exact", Options(overrun=None, fill=1.0)))
    (binding,) = told.bindings
    assert (binding.node, binding.label) == ("c0", "F5")
    assert binding.price == pytest.approx(0.5 / 0.02 / 10)  # small-a: 0.5 per 0.02 s, of 10 qps
    assert binding.gain_of_tenth == pytest.approx(0.025)
    assert any("compute of c0 is full (0.1 s of work a second, F5)" in line for line in told.lines)


@pytest.mark.parametrize(
    ("label", "field", "changes"),
    [
        ("F7", "client_uplink_c", {"client_memory_c": [0.0], "client_uplink_c": [500.0]}),
        ("F9", "edge_compute_e", {**NO_CLOUD, "client_memory_c": [0.0], "edge_compute_e": [0.06]}),
    ],
)
def test_prices_are_what_a_little_more_buys(
    label: str, field: str, changes: dict[str, Any]
) -> None:
    problem = one_client(**changes)
    options = Options(overrun=None, fill=1.0, gap=1e-9)
    solution = solve(problem, "exact", options)
    told = [item for item in explain(problem, solution).bindings if item.label == label]
    assert told
    more = replace(problem, **{field: getattr(problem, field) * 1.01})
    gain = solve(more, "exact", options).objective - solution.objective
    assert gain == pytest.approx(told[0].gain_of_tenth / 10, rel=1e-3)


def test_memory_names_the_model_that_is_missing() -> None:
    problem = one_client(**NO_CLOUD, edge_memory_e=[0.0], client_memory_c=[10.0])
    told = explain(problem, solve(problem, "exact", Options(overrun=None, fill=1.0)))
    missing = next(item for item in told.missing_models if item.node == "c0")
    assert (missing.model, missing.short_bytes) == ("big", 100.0)
    assert missing.gain == pytest.approx((6 * 0.3 + 4 * 0.8) / 10, abs=1e-6)
    assert [task.task for task in told.tasks] == ["b"]
    assert "no local model" in next(iter(told.tasks[0].reasons))


def test_failures_are_named() -> None:
    slow = one_client(client_uplink_c=[50.0], client_memory_c=[0.0])
    assert "uplink too small: c0 can send 5.0%" in explain(slow, solve(slow, "exact")).lines[0]
    short = one_client(window_e=[0.01])
    lines = explain(short, solve(short, "exact", Options(overrun=None))).lines
    assert any(line.startswith("window too short: e0") for line in lines)
    unserved = one_client(accuracy_mt=[[0.5, 0.0], [0.5, 0.0], [0.8, 0.0]])
    told = explain(unserved, solve(unserved, "exact")).tasks
    assert told[0].reasons == {"no model serves it": pytest.approx(1.0)}


def test_thrashing_is_seen_in_the_iterates() -> None:
    solution = solve(one_client(), "baj3o")
    swinging = replace(solution, iterates={"local first": (0.5, 0.7, 0.5, 0.7, 0.5)})
    assert any(line.startswith("thrashing") for line in explain(one_client(), swinging).lines)
    assert not any("thrashing" in line for line in explain(one_client(), solution).lines)


@pytest.mark.parametrize("policy", list(POLICIES))
def test_every_policys_plan_can_be_explained(policy: str) -> None:
    for problem in (random_problem(3), sample_problem("taskonomy", "compute", 1, 5, 0)):
        assert explain(problem, solve(problem, policy)).lines
    if policy == "baj3o":
        assert explain(problem, solve(problem, policy, Options(overrun=0.05))).lines


def test_a_plan_that_lacks_nothing_says_so() -> None:
    problem = one_client(cloud_accuracy_t=[0.8, 0.0])
    assert explain(problem, solve(problem, "exact")).lines == (NOTHING,)
