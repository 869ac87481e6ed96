"""Every policy: valid plans, heuristic <= exact <= bound, and the exact one against brute force."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.edge_cost import EdgeCost
from planner.evaluate import evaluate
from planner.instances import sample_problem
from planner.plan import Plan
from planner.policies import POLICIES, Options, UnknownPolicyError, list_policies, solve
from planner.problem import Problem
from planner.programs.bound import relax
from planner.programs.offloading import Tiers, route
from planner.solution import Status
from support.planner_cases import one_client, random_problem

SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=4, deadline=None, derandomize=True, database=None)


@settings(FEW, max_examples=4)
@given(seed=SEEDS)
def test_heuristics_stay_below_exact_and_exact_below_the_bound(seed: int) -> None:
    problem = random_problem(seed)
    options = Options(overrun=None, fill=0.8, seed=seed, gap=1e-5)
    best = solve(problem, "exact", options)
    bound = relax(problem, "batched", options).bound_qps / problem.total_load_qps
    assert best.certificate.status is Status.OPTIMAL
    assert best.objective <= bound * (1 + 1e-7)
    for name in POLICIES:
        solution = solve(problem, name, options)
        checked = evaluate(problem, solution.plan, fill=options.fill)
        assert checked.feasible, (name, checked.violations())
        assert evaluate(problem, solution.plan).feasible
        assert checked.objective == pytest.approx(solution.objective, abs=1e-9)
        assert solution.objective <= best.certificate.upper_bound * (1 + 1e-7), name
        assert solution.objective <= solution.certificate.upper_bound
        assert all(a <= b + 1e-12 for a, b in zip(solution.trace, solution.trace[1:], strict=False))


@FEW
@given(seed=SEEDS)
def test_the_unbatched_form_is_ordered_the_same_way(seed: int) -> None:
    problem = random_problem(seed, edges=1)
    options = Options(overrun=None, edge_form="unbatched", gap=1e-5)
    best = solve(problem, "exact", options)
    for name in ("j3o", "baj3o", "all-edge", "random"):
        solution = solve(problem, name, options)
        assert evaluate(problem, solution.plan, fill=0.6, batching=False).feasible
        assert solution.objective <= best.certificate.upper_bound * (1 + 1e-7)


@pytest.mark.parametrize("seed", [1, 4, 7])
def test_exact_equals_brute_force_over_all_model_sets(seed: int) -> None:
    problem = random_problem(seed, edges=1, clients=2, models=3, tasks=2)
    options = Options(overrun=None, fill=1.0, gap=1e-6)
    best = 0.0
    for bits in product((False, True), repeat=9):
        chosen_nm = np.array(bits).reshape(3, 3)
        best = max(best, _value(problem, chosen_nm[:2], chosen_nm[2:], options))
    found = solve(problem, "exact", options)
    assert found.objective == pytest.approx(best / problem.total_load_qps, rel=1e-5)


def _value(problem: Problem, x_cm: np.ndarray, y_em: np.ndarray, options: Options) -> float:
    """Optimum with exactly these models onloaded, each edge model charged its setup; -1 if not
    allowed."""
    over_c = np.where(x_cm, problem.client_model_bytes_cm, 0).sum(1) > problem.client_memory_c
    over_e = np.where(y_em, problem.edge_model_bytes_em, 0).sum(1) > problem.edge_memory_e
    setup_e = np.where(y_em, problem.edge_setup_em, 0).sum(1)
    if over_c.any() or over_e.any() or (setup_e > problem.edge_compute_e * problem.window_e).any():
        return -1.0
    return route(problem, x_cm, y_em, EdgeCost.batched(problem), options, Tiers()).value_qps


@pytest.mark.parametrize("policy", list(POLICIES))
def test_an_impossible_memory_budget_still_gives_a_valid_plan(policy: str) -> None:
    problem = one_client(client_memory_c=[1.0], edge_memory_e=[1.0])
    solution = solve(problem, policy)
    assert solution.evaluation.feasible
    assert solution.evaluation.accuracy_t[1] == 0.0  # no node can hold a model that serves b
    assert solution.evaluation.shed_share >= 0.4


@pytest.mark.parametrize("policy", list(POLICIES))
def test_a_problem_without_load_or_without_links_is_planned(policy: str) -> None:
    idle = solve(one_client(load_ct=[[0.0, 0.0]]), policy)
    assert idle.objective == idle.certificate.gap == 0.0
    cut_off = solve(one_client(client_uplink_c=[0.0], edge_uplink_e=[0.0]), policy)
    assert cut_off.evaluation.feasible
    assert cut_off.evaluation.share_by_tier["edge"] == 0.0


@pytest.mark.parametrize("policy", list(POLICIES))
def test_a_task_that_nobody_serves_is_shed(policy: str) -> None:
    problem = one_client(accuracy_mt=[[0.5, 0.0], [0.5, 0.0], [0.8, 0.0]])
    solution = solve(problem, policy)
    assert solution.evaluation.accuracy_t[1] == 0.0
    assert solution.evaluation.shed_share == pytest.approx(0.4, abs=1e-6)


@pytest.mark.parametrize("seed", [3, 11])
def test_the_order_of_clients_and_models_does_not_matter(seed: int) -> None:
    problem = random_problem(seed)
    rng = np.random.default_rng(seed)
    c, m = rng.permutation(len(problem.clients)), rng.permutation(len(problem.models))
    place_m = np.argsort(m)
    changes = {}
    for name in problem.array_fields():
        array, axes = getattr(problem, name), name.rsplit("_", 1)[1]
        for axis, letter in enumerate(axes):
            order = {"c": c, "m": m}.get(letter)
            array = array if order is None else np.take(array, order, axis=axis)
        changes[name] = array
    old = problem.cloud_model_t
    changes["cloud_model_t"] = np.where(old >= 0, place_m[old], -1)
    changes["client_of_a"] = np.argsort(c)[problem.client_of_a]
    shuffled = replace(
        problem,
        clients=tuple(problem.clients[i] for i in c),
        models=tuple(problem.models[i] for i in m),
        **changes,
    )
    for policy in ("exact", "baj3o", "j3o"):
        before, after = solve(problem, policy), solve(shuffled, policy)
        assert before.objective == pytest.approx(after.objective, rel=2e-4)


def test_a_time_limit_returns_the_incumbent_with_its_true_gap() -> None:
    problem = random_problem(5, edges=1, clients=30, models=24, tasks=5)
    solution = solve(
        problem, "exact", Options(overrun=None, time_limit_s=0.05, gap=0.0, solver="highs")
    )
    assert solution.evaluation.feasible
    assert solution.certificate.status in (Status.TIME_LIMIT, Status.OPTIMAL)
    assert solution.certificate.upper_bound >= solution.objective


def test_a_previous_plan_is_a_starting_point() -> None:
    problem = random_problem(8)
    first = solve(problem, "baj3o", Options(overrun=None)).plan
    for policy in ("exact", "baj3o", "j3o"):
        again = solve(problem, policy, Options(overrun=None, warm_start=first))
        assert again.evaluation.feasible
    assert solve(problem, "baj3o", Options(overrun=None, warm_start=first)).objective >= (
        first.certificate.objective - 1e-9 if first.certificate else 0
    )


@pytest.mark.parametrize("policy", ["exact", "certified", "baj3o", "j3o"])
def test_a_previous_plan_that_no_longer_fits_is_left_aside(policy: str) -> None:
    problem = one_client()
    first = solve(problem, policy)
    smaller = replace(problem, client_memory_c=np.array([10.0]), edge_memory_e=np.array([10.0]))
    for previous in (first, first.plan):
        assert solve(
            smaller, policy, Options(overrun=None, warm_start=previous)
        ).evaluation.feasible


def test_names_and_options_are_checked() -> None:
    with pytest.raises(UnknownPolicyError, match=r"did you mean 'baj3o'.*all-local"):
        solve(one_client(), "baj3")
    for name, value in (("fill", 0.0), ("fill", 1.5), ("time_limit_s", 0.0), ("gap", 1.0)):
        wrong: dict[str, Any] = {name: value}
        with pytest.raises(ValueError, match=name):
            Options(overrun=None, **wrong)
    assert all(policy.description for policy in list_policies())


def test_the_plan_carries_all_that_a_report_needs(tmp_path: Path) -> None:
    solution = solve(random_problem(2), "baj3o")
    plan = Plan.load(solution.plan.save(tmp_path / "plan.json"))
    assert plan.certificate == solution.certificate
    assert plan.predicted is not None
    assert plan.predicted.feasible
    assert evaluate(solution.problem, plan, fill=plan.fill).objective == pytest.approx(
        solution.objective
    )


@pytest.mark.parametrize("cut", ["edge_uplink_e", "client_uplink_c"])
@pytest.mark.parametrize("policy", ["j3o", "baj3o"])
def test_the_alternation_does_not_count_on_a_link_that_carries_nothing(
    policy: str, cut: str
) -> None:
    """No dual price tells it: the rows of a dead link hold no variable."""
    whole = sample_problem("taskonomy", "mixed", 2, 10, 0)
    dead = replace(whole, **{cut: np.zeros_like(getattr(whole, cut))})
    nearly = replace(whole, **{cut: getattr(whole, cut) * 1e-6})
    objectives = [
        solve(p, policy, Options(overrun=None, gap=5e-3)).objective for p in (dead, nearly)
    ]
    assert objectives[0] >= objectives[1] - 0.005


@pytest.mark.parametrize("policy", ["certified", "exact", "baj3o", "j3o"])
def test_queries_without_bytes_need_no_bandwidth(policy: str) -> None:
    """F7 as written: task `a` has no bytes, so the cloud answers it over links that carry nothing
    (.9 of 6 queries/s); `b` has, and its own client answers it (.8 of 4)."""
    problem = one_client(
        query_bytes_t=[0.0, 100.0], client_uplink_c=[0.0], edge_uplink_e=[0.0],
    )  # fmt: skip
    solution = solve(problem, policy)
    assert solution.evaluation.feasible
    assert solution.objective == pytest.approx((6 * 0.9 + 4 * 0.8) / 10, rel=1e-3)
    assert solution.evaluation.share_by_tier["edge"] == 0.0
