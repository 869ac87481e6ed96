"""Budgets are told in words, with their label behind them."""

from __future__ import annotations

import numpy as np
import pytest

from planner.evaluate import evaluate
from planner.explanation.budget_words import amount_words, budget_place, fullest_budgets
from planner.policies import Options, solve
from support.planner_cases import one_client, random_problem


def test_only_budgets_that_count_are_told_and_none_is_over() -> None:
    problem = one_client()
    plan = solve(problem, "exact", Options(overrun=None, fill=1.0)).plan
    told = fullest_budgets(evaluate(problem, plan))
    assert told.startswith("memory ")
    assert "(F9)" in told
    for label in ("F2", "F3", "F6", "F13"):
        assert f"({label})" not in told
    one_by_one = fullest_budgets(evaluate(problem, plan, batching=False))
    assert "(F6)" in one_by_one
    assert "(F9)" not in one_by_one
    assert "F6" not in evaluate(problem, plan).summary().tightest_by_constraint


def test_a_kind_that_is_over_says_so() -> None:
    problem = one_client()
    plan = solve(problem, "exact", Options(overrun=None, fill=1.0)).plan
    tiny = problem.changed(client_uplink_c=np.array([1e-3]))
    assert "uplinks OVER (F7)" in fullest_budgets(evaluate(tiny, plan))


def test_a_place_names_both_ends_of_a_link() -> None:
    problem = random_problem(1, edges=2, clients=3)
    client = problem.clients[0]
    edge = problem.edges[problem.edge_of_a[0]]
    assert budget_place(problem, "F7", client) == f"uplink {client} → {edge}"
    assert budget_place(problem, "F7", edge) == f"uplink {edge} → {problem.cloud}"
    assert budget_place(problem, "F7", "c0 to e1") == "uplink c0 → e1"
    assert budget_place(problem, "F9", edge) == f"window of {edge}"
    assert budget_place(problem, "F5", client) == f"compute of {client}"


@pytest.mark.parametrize(
    ("amount", "unit", "words"),
    [
        (245_000.0, "bytes/s", "245 KB/s"),
        (2.5e6, "bytes/s", "2.5 MB/s"),
        (12.0, "bytes/s", "12 bytes/s"),
        (0.08, "s/s", "0.08 s of work a second"),
        (0.24, "s/window", "240 ms of work a window"),
        (70.0, "W", "70 W"),
    ],
)
def test_amounts_have_the_units_that_people_use(amount: float, unit: str, words: str) -> None:
    assert amount_words(amount, unit) == words
