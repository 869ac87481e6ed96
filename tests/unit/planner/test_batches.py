"""The largest batch of an edge: F9 and F11 charge a setup for every batch a window needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.allocation import Allocation
from planner.batches import batches_em, poisson_batches_em
from planner.evaluate import evaluate
from planner.instances import sample_problem
from planner.policies import POLICIES, Options, solve
from planner.problem import ProblemError
from planner.programs.bound import relax
from support.planner_cases import one_client, random_problem

FEW = settings(max_examples=3, deadline=None, derandomize=True, database=None)
EDGE_ONLY = {
    "cloud_accuracy_t": [0.0, 0.0], "cloud_model_t": [-1, -1], "client_memory_c": [0.0],
    "edge_compute_e": [0.12],
}  # fmt: skip


@pytest.mark.parametrize("policy", ["exact", "baj3o", "certified"])
def test_the_hand_solved_optimum_fills_whole_batches(policy: str) -> None:
    # A window has 0.06 s. All 5 queries of it on big take 0.02 + 5 x 0.003 in one batch; with
    # batches of 2 that is 3 setups, 0.075 s. Two full batches fit (0.052 s): 8 queries/s at 0.8.
    options = Options(fill=1.0, overrun=None)
    free = solve(one_client(**EDGE_ONLY), policy, options)
    assert free.objective == pytest.approx(0.8, abs=1e-6)
    small = one_client(**EDGE_ONLY, edge_max_batch_e=[2])
    found = solve(small, policy, options)
    assert found.objective == pytest.approx(0.64, abs=1e-6)
    assert found.evaluation.usages["F9"].use_n[0] == pytest.approx(0.052, abs=1e-6)


def test_evaluate_charges_every_batch() -> None:
    plan = Allocation.empty(one_client())
    plan.onloaded_em[0, 2] = True
    plan.edge_atm[0, :, 2] = 1.0  # 5 queries a window
    for largest, batches in ((2, 3), (5, 1), (4, 2), (np.inf, 1)):
        usages = evaluate(one_client(edge_max_batch_e=[largest]), plan).usages
        assert usages["F9"].use_n[0] == pytest.approx(0.02 * batches + 5 * 0.003)


def test_the_moments_of_batches_under_poisson_arrivals() -> None:
    problem = one_client(edge_max_batch_e=np.array([4.0]))
    mean_em = np.array([[0.0, 2.5, 9.0]])
    rng = np.random.default_rng(0)
    arrived = rng.poisson(mean_em[0], (400_000, 3))
    batches = np.ceil(arrived / 4)
    mean, variance, together = poisson_batches_em(problem, mean_em)
    assert mean[0] == pytest.approx(batches.mean(axis=0), abs=0.01)
    assert variance[0] == pytest.approx(batches.var(axis=0), abs=0.01)
    centred = (batches - batches.mean(axis=0)) * (arrived - arrived.mean(axis=0))
    assert together[0] == pytest.approx(centred.mean(axis=0), abs=0.02)
    some_em = -np.expm1(-mean_em)
    mean, variance, together = poisson_batches_em(one_client(), mean_em)
    np.testing.assert_allclose(mean, some_em, atol=1e-12)
    np.testing.assert_allclose(variance, some_em * (1 - some_em), atol=1e-12)
    np.testing.assert_allclose(together, mean_em * (1 - some_em), atol=1e-12)


def test_a_batch_filled_to_the_brim_is_one() -> None:
    problem = one_client(edge_max_batch_e=np.array([4.0]))
    queries_em = np.array([[4.0 * (1 + 1e-12), 4.001, 0.0]])
    assert batches_em(problem, queries_em).tolist() == [[1.0, 2.0, 0.0]]


@settings(FEW, max_examples=2)
@given(seed=st.integers(0, 10_000), largest=st.integers(1, 3))
def test_every_policy_is_feasible_below_exact_and_its_bound(seed: int, largest: int) -> None:
    problem = random_problem(seed)
    problem = replace(
        problem, window_e=np.ones(2), client_compute_c=0.2 * problem.client_compute_c,
        edge_max_batch_e=np.full(2, largest), client_uplink_c=np.full(4, 1e3),
    )  # fmt: skip
    options = Options(fill=0.8, overrun=None, seed=seed, gap=1e-5)
    best = solve(problem, "exact", options)
    bound = relax(problem, "batched", options).bound_qps / problem.total_load_qps
    assert best.objective <= bound * (1 + 1e-7)
    wide = solve(replace(problem, edge_max_batch_e=np.full(2, np.inf)), "exact", options)
    assert best.objective <= wide.certificate.upper_bound * (1 + 1e-7)
    for name in POLICIES:
        solution = solve(problem, name, options)
        checked = evaluate(problem, solution.plan, fill=options.fill)
        assert checked.feasible, (name, checked.violations())
        assert solution.objective <= best.certificate.upper_bound * (1 + 1e-7), name
        if name != "j3o":  # its bound is for F6
            assert best.objective <= solution.certificate.upper_bound * (1 + 1e-7), name


@pytest.mark.parametrize("policy", ["baj3o", "certified"])
def test_headroom_counts_the_batches_too(policy: str) -> None:
    """By simulation, as in `test_headroom`."""
    problem = sample_problem("taskonomy", "compute", 1, 5, 1, window_s=0.5)
    problem = replace(problem, edge_max_batch_e=np.array([4.0]))
    solution = solve(problem, policy, Options(gap=5e-3))
    assert solution.overrun == 0.05
    rng = np.random.default_rng(0)
    rate_em = solution.allocation.edge_rate_em(problem)
    assert (problem.window_e[:, None] * rate_em).max() > 4  # the limit matters
    arrived = rng.poisson(problem.window_e[0] * rate_em[0], (20_000, rate_em.shape[1]))
    work = np.ceil(arrived / 4) @ problem.edge_setup_em[0] + arrived @ problem.edge_marginal_em[0]
    assert (work > problem.edge_compute_e[0] * problem.window_e[0]).mean() <= 0.07


def test_a_largest_batch_is_a_whole_number() -> None:
    for wrong in (0, 2.5):
        with pytest.raises(ProblemError, match=r"^edge_max_batch_e\.0: must be a whole number"):
            one_client(edge_max_batch_e=[wrong])
