"""What fills a budget exactly fits it, in every unit and for every policy."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.edge_cost import EdgeCost
from planner.evaluate import evaluate
from planner.fits import TOLERANCE, room
from planner.policies import POLICIES, Options, solve
from planner.problem import Problem
from planner.programs.offloading import Tiers, route
from support.planner_cases import one_client, random_problem

FEW = settings(max_examples=13, deadline=None, derandomize=True, database=None)


def two_models(**changes: Any) -> Problem:
    """A client without links; models of 0.1 and 0.2 GB, each of which serves one of its tasks."""
    return one_client(
        accuracy_mt=[[0.9, 0.0], [0.0, 0.9], [0.0, 0.0]], load_ct=[[5.0, 5.0]],
        client_memory_c=[0.3], edge_memory_e=[0.0], client_uplink_c=[0.0], edge_uplink_e=[0.0],
        client_model_bytes_cm=[[0.1, 0.2, 9.0]], edge_model_bytes_em=[[0.1, 0.2, 9.0]],
        cloud_accuracy_t=[0.0, 0.0], cloud_model_t=[-1, -1], **changes,
    )  # fmt: skip


@pytest.mark.parametrize("overrun", [None, 0.05])
@pytest.mark.parametrize("policy", ["certified", "exact", "baj3o", "j3o", "greedy-accuracy"])
def test_memory_that_is_filled_exactly_holds_both_models(
    policy: str, overrun: float | None
) -> None:
    found = solve(two_models(), policy, Options(overrun=overrun))
    assert found.objective == pytest.approx(0.9)
    assert found.certificate.upper_bound >= 0.9 * (1 - 1e-9)
    assert evaluate(two_models(), found.plan).feasible


def test_memory_that_is_too_small_by_more_than_the_tolerance_does_not() -> None:
    tight = replace(two_models(), client_memory_c=np.array([0.3 / 1.00001]))
    assert solve(tight, "certified").objective == pytest.approx(0.45)


@pytest.mark.parametrize("policy", ["certified", "exact", "baj3o"])
def test_a_setup_as_long_as_the_window_fits_it(policy: str) -> None:
    """Two batches of 0.1 and 0.2 s, without cost by query, in a window of 0.3 s."""
    problem = one_client(
        window_e=[0.3], client_memory_c=[0.0], accuracy_mt=[[0.9, 0.0], [0.0, 0.9], [0.5, 0.5]],
        cloud_accuracy_t=[0.0, 0.0], cloud_model_t=[-1, -1],
        edge_setup_em=[[0.1, 0.2, 0.01]], edge_marginal_em=[[0.0, 0.0, 0.001]],
    )  # fmt: skip
    found = solve(problem, policy, Options(overrun=None, fill=1.0))
    assert found.objective == pytest.approx(0.9)
    assert evaluate(problem, found.plan).feasible
    full = replace(problem, edge_setup_em=np.array([[0.3, 0.3, 0.01]]))
    found = solve(full, policy, Options(overrun=None, fill=1.0))
    assert found.objective == pytest.approx(0.6 * 0.9)  # one of them alone, for 6 of 10 queries


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("policy", list(POLICIES))
def test_no_policy_scores_above_its_bound_within_the_tolerance(policy: str, share: float) -> None:
    """What fits by the tolerance alone must fit in the bound too: a memory, and a window."""
    memory = replace(two_models(), client_memory_c=np.array([0.3 / (1 + share * TOLERANCE)]))
    assert 0.9 * (1 - 1e-9) <= _certified(memory, policy) <= 0.9 * (1 + 2 * TOLERANCE)
    window = one_client(
        window_e=[0.3 / (1 + share * TOLERANCE)], client_memory_c=[0.0],
        accuracy_mt=[[0.9, 0.0], [0.0, 0.9], [0.5, 0.5]],
        cloud_accuracy_t=[0.0, 0.0], cloud_model_t=[-1, -1],
        edge_setup_em=[[0.1, 0.2, 0.01]], edge_marginal_em=[[0.0, 0.0, 0.001]],
    )  # fmt: skip
    assert _certified(window, policy) <= 0.9 * (1 + 2 * TOLERANCE)


def _certified(problem: Problem, policy: str) -> float:
    """The upper bound; solving raises where the plan's own value is above it."""
    return solve(problem, policy, Options(overrun=None, fill=1.0)).certificate.upper_bound


@FEW
@given(seed=st.integers(0, 10_000))
def test_certificates_are_true_where_every_size_is_a_tenth(seed: int) -> None:
    """Sizes, memories, setups and windows in tenths, so that many sets fill a budget exactly."""
    rng = np.random.default_rng(seed)
    drawn = random_problem(seed, edges=1, clients=2, models=3, tasks=2)
    size_m = rng.integers(1, 5, 3) / 10
    problem = replace(
        drawn,
        client_model_bytes_cm=np.tile(size_m, (2, 1)), edge_model_bytes_em=size_m[None],
        client_memory_c=rng.integers(0, 8, 2) / 10, edge_memory_e=rng.integers(0, 10, 1) / 10,
        edge_setup_em=rng.integers(0, 4, (1, 3)) / 10, edge_compute_e=np.ones(1),
        edge_marginal_em=drawn.edge_marginal_em * (rng.random((1, 3)) < 0.5),
        window_e=rng.integers(1, 8, 1) / 10, cloud_compute=np.inf,
    )  # fmt: skip
    options = Options(overrun=None, fill=1.0, gap=1e-6)
    best = 0.0
    for bits in product((False, True), repeat=9):
        chosen_nm = np.array(bits).reshape(3, 3)
        best = max(best, value_of_sets(problem, chosen_nm[:2], chosen_nm[2:], options))
    best /= max(problem.total_load_qps, 1e-300)
    for policy in ("certified", "exact"):
        found = solve(problem, policy, options)
        assert found.certificate.upper_bound >= best * (1 - 1e-7), policy
        assert found.objective == pytest.approx(best, rel=2e-5), policy


def value_of_sets(
    problem: Problem, x_cm: np.ndarray[Any, Any], y_em: np.ndarray[Any, Any], options: Options
) -> float:
    """Optimum with exactly these models onloaded; -1 if they do not fit, counted in tenths."""
    sizes = np.round(10 * problem.client_model_bytes_cm), np.round(10 * problem.edge_model_bytes_em)
    if np.any((x_cm * sizes[0]).sum(axis=1) > np.round(10 * problem.client_memory_c)):
        return -1.0
    setups = (y_em * np.round(10 * problem.edge_setup_em)).sum()
    if (y_em * sizes[1]).sum() > np.round(10 * problem.edge_memory_e[0]):
        return -1.0
    if setups > np.round(10 * problem.window_e[0]):
        return -1.0
    return route(problem, x_cm, y_em, EdgeCost.batched(problem), options, Tiers()).value_qps


@pytest.mark.parametrize("policy", list(POLICIES))
def test_every_policy_takes_what_evaluate_takes(policy: str) -> None:
    """Memory a hair too small, within the tolerance: no policy fails on it."""
    problem = random_problem(3)
    hair = replace(problem, client_memory_c=problem.client_model_bytes_cm[:, 2] / room(1.0))
    assert evaluate(hair, solve(hair, policy).plan).feasible
