"""F12 by decomposition: bounds above every plan, plans below every bound, branch and bound off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.bursts.headroom import relaxed_bound
from planner.decomposition import joined
from planner.decomposition.component_search import SearchOptions, search_component
from planner.edge_cost import edge_cost
from planner.instances import sample_problem
from planner.policies import Options, solve
from planner.policies.decomposed_bound import decomposed_bound
from support.planner_cases import one_client, random_problem

SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=8, deadline=None, derandomize=True, database=None)


@pytest.fixture
def no_branching(monkeypatch: pytest.MonkeyPatch) -> None:
    """What decomposition alone finds."""
    monkeypatch.setattr(joined, "MOST_MODELS", 0)


@pytest.mark.usefixtures("no_branching")
@pytest.mark.parametrize("form", ["batched", "unbatched"])
@pytest.mark.parametrize("seed", range(12))
def test_the_interval_of_edges_that_share_clients_contains_the_optimum(
    seed: int, form: Any
) -> None:
    problem = random_problem(seed, edges=2 + seed % 2, clients=4, reach=2)
    options = Options(overrun=None, gap=1e-4, edge_form=form)
    best = solve(problem, "exact", Options(overrun=None, gap=1e-6, edge_form=form)).certificate
    found = solve(problem, "certified", options)
    assert found.evaluation.feasible
    assert found.objective <= best.upper_bound * (1 + 1e-7)
    assert best.objective <= found.certificate.upper_bound * (1 + 1e-7)


@pytest.mark.usefixtures("no_branching")
@FEW
@given(seed=SEEDS)
def test_the_same_with_limits_of_links_and_deadlines(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(seed, edges=2, clients=3, models=4, reach=2)
    attachments, tasks = len(problem.client_of_a), len(problem.tasks)
    problem = problem.changed(
        uplink_a=problem.client_uplink_c[problem.client_of_a] * rng.uniform(0, 1, attachments),
        deadline_t=rng.choice([0.05, 0.5, np.inf], tasks),
        rtt_a=rng.uniform(0, 0.1, attachments),
    )
    best = solve(problem, "exact", Options(overrun=None, gap=1e-6)).certificate
    found = solve(problem, "certified", Options(overrun=None, gap=1e-4))
    assert found.evaluation.feasible
    assert found.objective <= best.upper_bound * (1 + 1e-7)
    assert best.objective <= found.certificate.upper_bound * (1 + 1e-7)


@pytest.mark.usefixtures("no_branching")
def test_two_edges_of_fifty_clients_are_closed_without_branching() -> None:
    problem = sample_problem("random", "mixed", 2, 25, 0, reach=2)
    found = solve(problem, "certified", Options(overrun=None, gap=1e-2)).certificate
    assert found.gap <= 1e-2


@pytest.mark.usefixtures("no_branching")
def test_a_previous_plan_of_joined_edges_is_taken_over() -> None:
    problem = sample_problem("random", "mixed", 2, 10, 0, reach=2)
    options = Options(overrun=None, gap=1e-2)
    first = solve(problem, "certified", options)
    warm = replace(options, warm_start=first)
    again = solve(problem, "certified", warm)
    assert again.objective >= first.objective * (1 - 1e-9)
    assert again.certificate.gap <= 1e-2
    assert again.certificate.iterations < first.certificate.iterations
    moved = solve(problem.changed(load_ct=1.05 * problem.load_ct), "certified", warm)
    assert moved.evaluation.feasible
    assert moved.certificate.gap <= 1e-2


def test_a_client_sends_each_task_to_the_edge_that_serves_it() -> None:
    # Edge e0 holds model a (task 0: .5), e1 model b (task 1: .4), 10 bytes each and no more.
    problem = one_client(
        edges=("e0", "e1"), client_of_a=[0, 0], edge_of_a=[0, 1], client_memory_c=[0.0],
        edge_memory_e=[10.0, 10.0], edge_model_bytes_em=[[10.0, 10.0, 100.0]] * 2,
        edge_compute_e=[1.0, 1.0], window_e=[0.5, 0.5],
        edge_setup_em=[[0.01, 0.01, 0.02]] * 2, edge_marginal_em=[[0.001, 0.001, 0.003]] * 2,
        edge_uplink_e=[1e6, 1e6], cloud_accuracy_t=[0.0, 0.0], cloud_model_t=[-1, -1],
    )  # fmt: skip
    limits = SearchOptions(fill=1.0, gap=1e-6, time_limit_s=10.0)
    found = search_component(problem, edge_cost(problem, "batched"), limits)
    assert found.value_qps == pytest.approx(6 * 0.5 + 4 * 0.4)
    assert found.bound_qps == pytest.approx(6 * 0.5 + 4 * 0.4, rel=1e-5)
    assert found.proven


def test_the_bound_under_f11_counts_clients_beside_an_edge_without_compute() -> None:
    problem = random_problem(3, edges=1, clients=4)
    problem = problem.changed(edge_compute_e=np.zeros(1))
    options = Options(overrun=0.05, gap=1e-3)
    found = solve(problem, "certified", options)
    assert found.objective > 0
    bound_qps, _ = decomposed_bound(problem, options)
    assert bound_qps >= found.objective * problem.total_load_qps * (1 - 1e-9)


@pytest.mark.parametrize("regime", ["compute", pytest.param("mixed", marks=pytest.mark.slow)])
def test_the_bound_under_f11_of_edges_that_share_clients_is_below_the_relaxed(regime: Any) -> None:
    problem = sample_problem("random", regime, 2, 3, 0, reach=2)
    options = Options(overrun=0.05, gap=1e-2, time_limit_s=60.0)
    bound_qps, method = decomposed_bound(problem, options)
    relaxed_qps, _ = relaxed_bound(problem, options)
    reached = max(solve(problem, policy, options).objective for policy in ("certified", "baj3o"))
    assert reached * problem.total_load_qps * (1 - 1e-9) <= bound_qps <= relaxed_qps
    assert "decomposition" in method
