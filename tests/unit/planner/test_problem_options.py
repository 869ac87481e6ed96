"""What is optional in a problem (F8, F12, F13, F15) every policy honours, as the page says."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from planner.evaluate import evaluate
from planner.policies import POLICIES, Options, solve
from planner.problem import Problem
from support.paths import ROOT
from support.planner_cases import random_problem, with_curves

PAGE = ROOT / "docs" / "formulation.md"


def with_cloud_capacity() -> Problem:
    return replace(random_problem(6, clients=6), cloud_compute=0.03)


def with_several_edges() -> Problem:
    problem = random_problem(6, edges=3, clients=6, reach=2)
    return replace(problem, client_uplink_c=0.3 * problem.client_uplink_c)


def with_deadlines() -> Problem:
    problem = random_problem(6, clients=6)
    return replace(problem, deadline_t=np.array([0.02, 0.12, 0.5]), rtt_a=np.full(6, 0.01))


def with_measured_times() -> Problem:
    """Batches take three times what their lines say."""
    problem = random_problem(6, clients=6)
    problem = replace(problem, edge_compute_e=0.2 * problem.edge_compute_e)
    slow = with_curves(problem, 6, bend=0.1)
    return replace(slow, edge_curve_emb=3.0 * slow.edge_curve_emb)


CASES = {
    "F8": with_cloud_capacity, "F12": with_several_edges, "F13": with_deadlines,
    "F15": with_measured_times,
}  # fmt: skip


def stated() -> dict[str, dict[str, str]]:
    """policy -> label -> what the page's table says."""
    rows = re.findall(r"^\| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    table = [row.split(" | ") for row in rows]
    first = next(k for k, row in enumerate(table) if row[0] == "policy")
    labels = [cell.split()[0] for cell in table[first][1:]]
    return {
        policy: dict(zip(labels, row[1:], strict=True))
        for row in table[first + 1 :]
        if len(row) == 1 + len(labels)
        for policy in re.findall(r"`([a-z0-9-]+)`", row[0])
    }


def test_the_table_names_every_policy_and_label() -> None:
    assert set(stated()) == set(POLICIES)
    assert all(set(row) == set(CASES) for row in stated().values())


@pytest.mark.parametrize("label", list(CASES))
def test_the_option_changes_what_is_optimal(label: str) -> None:
    """Otherwise ignoring it would pass below."""
    problem = CASES[label]()
    without: dict[str, Any] = {
        "F8": {"cloud_compute": np.inf},
        "F12": {"client_uplink_c": np.full(6, np.inf), "uplink_a": np.full(12, np.inf)},
        "F13": {"deadline_t": np.full(3, np.inf)},
        "F15": {"curve_sizes_b": np.zeros(0), "edge_curve_emb": np.zeros((2, 6, 0))},
    }
    free = solve(replace(problem, **without[label]), "exact")
    broken = {violation.label for violation in evaluate(problem, free.allocation).violations()}
    assert broken == {{"F12": "F7", "F15": "F9"}.get(label, label)}


@pytest.mark.parametrize("label", list(CASES))
@pytest.mark.parametrize("policy", list(POLICIES))
def test_a_policy_honours_it_or_refuses_it_by_name(policy: str, label: str) -> None:
    problem = CASES[label]()
    if not stated()[policy][label].startswith("honoured"):
        with pytest.raises(ValueError, match=rf"\({label}\)"):
            solve(problem, policy)
        return
    solution = solve(problem, policy, Options(overrun=None, gap=1e-3))
    assert evaluate(problem, solution.plan, fill=0.6).feasible
    assert solution.objective > 0 or policy == "all-local"
