"""Certificates hold on adverse problems, and the check would notice if they did not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import certificate_check
from certificate_check import check_certificates, drawn
from planner.certificate import Status
from planner.instances.adverse import ADVERSE, adverse_problem
from planner.policies import Options, solve

ONCE_FALSE = (18, 35, 64, 84, 88, 124, 175, 196)
"""Seeds of problems on which `exact` once claimed less than what was reached, with either solver,
or said "optimal" with a wider gap than asked."""


def test_a_policy_that_plans_without_batches_proves_nothing_by_lines_above_a_curve() -> None:
    """`no-batching` claimed at most 0.0815 where 0.1534 is reached: its bound was that of F9 with
    lines through the time of one query, which lie above what batches take (F15)."""
    assert check_certificates(189631723) == []


@pytest.mark.parametrize("seed", ONCE_FALSE)
def test_no_certificate_is_false_where_some_were(seed: int) -> None:
    assert check_certificates(seed, adverse_problem) == []


def test_a_component_with_next_to_no_load_keeps_no_search_from_its_end() -> None:
    """One with a million millionth of the others' load: linear cuts and programs round to nothing
    there. `proteus-like` searched without end, its time limit unheeded, and `certified` to it."""
    _, problem = drawn(622672676)
    for policy in ("certified", "proteus-like"):
        found = solve(problem, policy, Options(fill=1.0, gap=1e-4, time_limit_s=30.0))
        assert found.objective == pytest.approx(0.9331857330649622, rel=1e-9)
        assert found.certificate.status is Status.OPTIMAL


@pytest.mark.slow
@pytest.mark.parametrize("first", range(200, 400, 20))
def test_no_certificate_is_false(first: int) -> None:
    assert [found for seed in range(first, first + 20) for found in check_certificates(seed)] == []


def test_a_bound_below_another_plan_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def lying(problem: Any, policy: str, options: Any) -> Any:
        found = solve(problem, policy, options)
        if policy != "certified":
            return found
        lower = found.certificate.model_copy(update={"upper_bound": 0.99 * found.objective})
        return replace(found, certificate=lower)

    monkeypatch.setattr(certificate_check, "solve", lying)
    assert "certified (auto) claims at most" in str(check_certificates(3, adverse_problem)[0])


def test_a_gap_that_is_too_wide_for_optimal_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def lying(problem: Any, policy: str, options: Any) -> Any:
        found = solve(problem, policy, options)
        claim = {"status": Status.OPTIMAL, "gap": 0.1, "upper_bound": 1.2 * found.objective}
        return replace(found, certificate=found.certificate.model_copy(update=claim))

    monkeypatch.setattr(certificate_check, "solve", lying)
    assert "though it says optimal" in str(check_certificates(3, adverse_problem)[0])


def test_trying_all_sets_reaches_what_the_policies_reach() -> None:
    """On problems small enough, so that a bound is not only held against its own kind."""
    tried = 0
    for seed in range(40):
        _, problem = adverse_problem(seed)
        options = Options(overrun=None, fill=1.0, edge_form="batched", gap=1e-6)
        brute = certificate_check._brute_force(problem, options)
        if brute is None:
            continue
        tried += 1
        assert brute == pytest.approx(solve(problem, "exact", options).objective, rel=1e-4)
    assert tried >= 3


def test_every_regime_is_drawn_and_every_problem_is_the_same_again() -> None:
    names = {name for seed in range(120) for name in adverse_problem(seed)[0].split(" + ")}
    assert names == set(ADVERSE)
    assert adverse_problem(7)[1].digest == adverse_problem(7)[1].digest
    assert adverse_problem(7)[1].digest != adverse_problem(8)[1].digest


def test_curves_and_bundles_are_drawn_as_well() -> None:
    problems = [drawn(seed)[1] for seed in range(40)]
    assert sum(problem.curved for problem in problems) >= 6
    assert sum(problem.asks_together for problem in problems) >= 2
    assert not any(problem.curved and problem.asks_together for problem in problems)
    assert drawn(3)[1].digest == drawn(3)[1].digest
