"""What is optional in a problem (F8, F12 to F15, F20), by policy: as the page says."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from planner.deadline_classes import split_by_class
from planner.evaluate import evaluate
from planner.passes import apart
from planner.policies import POLICIES, Options, solve
from planner.problem import Problem
from support.bundle_cases import random_bundles
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


def with_deadline_classes() -> Problem:
    problem = random_problem(6, clients=6, tasks=2)
    half_ct = problem.load_ct / 2
    load_of = dict.fromkeys(("task-0", "task-0@fast"), half_ct[:, 0])
    return split_by_class(problem, load_of, {"task-0@fast": 0.02})


def with_bundles() -> Problem:
    return random_bundles(6, sets=((0, 1), (1, 2)), clients=6)


def with_measured_times() -> Problem:
    """Batches take three times what their lines say."""
    problem = random_problem(6, clients=6)
    problem = replace(problem, edge_compute_e=0.2 * problem.edge_compute_e)
    slow = with_curves(problem, 6, bend=0.1)
    return replace(slow, edge_curve_emz=3.0 * slow.edge_curve_emz)


CASES = {
    "F8": with_cloud_capacity, "F12": with_several_edges, "F13": with_deadlines,
    "F20": with_deadline_classes, "F14": with_bundles, "F15": with_measured_times,
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


@pytest.mark.parametrize("label", ["F8", "F12", "F13", "F15", "F20"])
def test_the_option_changes_what_is_optimal(label: str) -> None:
    """Otherwise ignoring it would pass below."""
    problem = CASES[label]()
    without: dict[str, Any] = {
        "F8": {"cloud_compute": np.inf},
        "F12": {"client_uplink_c": np.full(6, np.inf), "uplink_a": np.full(12, np.inf)},
        "F13": {"deadline_t": np.full(3, np.inf)},
        "F20": {"deadline_t": np.full(3, np.inf)},
        "F15": {"curve_sizes_z": np.zeros(0), "edge_curve_emz": np.zeros((2, 6, 0))},
    }
    free = solve(replace(problem, **without[label]), "exact")
    broken = {violation.label for violation in evaluate(problem, free.allocation).violations()}
    assert broken == {{"F12": "F7", "F15": "F9", "F20": "F13"}.get(label, label)}


def test_shared_passes_change_what_is_optimal() -> None:
    """A plan for tasks that are asked alone breaks nothing, but is worth less."""
    problem, options = with_bundles(), Options(gap=1e-3)
    alone = evaluate(problem, solve(apart(problem), "exact", replace(options, overrun=None)).plan)
    assert alone.feasible
    assert alone.objective < 0.98 * solve(problem, "exact", options).objective


@pytest.mark.parametrize("label", list(CASES))
@pytest.mark.parametrize("policy", list(POLICIES))
def test_a_policy_honours_it_or_refuses_it_by_name(policy: str, label: str) -> None:
    problem = CASES[label]()
    if not stated()[policy][label].startswith("honoured"):
        with pytest.raises(ValueError, match=rf"\({label}\)"):
            solve(problem, policy)
        return
    solution = solve(problem, policy, Options(overrun=None, gap=1e-3, time_limit_s=3.0))
    assert evaluate(problem, solution.plan, fill=0.6).feasible
    assert solution.objective > 0 or policy == "all-local"
