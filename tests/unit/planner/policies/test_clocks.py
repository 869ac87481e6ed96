"""Time limits: who gets the time that others leave, and what a plan says that ran out of it."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from planner.certificate import Status, status_of
from planner.decomposition.component_search import ComponentResult
from planner.instances import sample_problem
from planner.policies import Options, certified, solve

EDGES = 4


@pytest.fixture(scope="module")
def problem() -> Any:
    return sample_problem("random", "mixed", EDGES, 3, 0)


def test_time_that_easy_edges_leave_goes_to_the_hard_ones(
    problem: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    clock = SimpleNamespace(perf_counter=lambda: now_s)
    monkeypatch.setattr(certified, "time", clock)
    shares_s: list[float] = []
    real = certified._run_job

    def run(job: Any) -> ComponentResult:
        nonlocal now_s
        shares_s.append(job[2].time_limit_s)
        now_s += 1.0 if len(shares_s) == 2 else 0.0
        return real((*job[:2], replace(job[2], time_limit_s=60.0), *job[3:]))

    monkeypatch.setattr(certified, "_run_job", run)
    certified.certified(problem, Options(overrun=None, gap=1e-2, time_limit_s=4.0))
    # The second edge takes all of its share, the others nothing.
    assert shares_s == pytest.approx([1.0, 4 / 3, 1.5, 3.0])


def test_a_plan_that_ran_out_of_time_says_so(problem: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = certified._run_job

    def stopped(job: Any) -> ComponentResult:
        found = real(job)
        return replace(found, bound_qps=1.2 * found.value_qps, late=True)

    monkeypatch.setattr(certified, "_run_job", stopped)
    for overrun in (None, 0.05):
        found = solve(problem, "certified", Options(overrun=overrun, time_limit_s=30.0))
        assert found.certificate.status is Status.TIME_LIMIT
        assert found.certificate.runtime_s < 30.0


@pytest.mark.parametrize("policy", ["certified", "exact", "baj3o"])
def test_a_limit_that_is_too_short_still_gives_a_plan(policy: str) -> None:
    hard = sample_problem("random", "mixed", 2, 10, 0)
    begun_s = time.perf_counter()
    found = solve(hard, policy, Options(overrun=None, gap=1e-6, time_limit_s=0.05))
    assert found.evaluation.feasible
    assert found.certificate.status is Status.TIME_LIMIT
    assert found.certificate.gap > 1e-6
    assert time.perf_counter() - begun_s < 30.0


def test_the_gap_alone_says_whether_a_plan_is_optimal() -> None:
    assert status_of(1e-4, 1e-4, late=True) is Status.OPTIMAL
    assert status_of(2e-4, 1e-4, late=False) is Status.FEASIBLE
    assert status_of(2e-4, 1e-4, late=True) is Status.TIME_LIMIT
