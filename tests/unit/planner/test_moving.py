"""F16: loads are paid for inside the plan, staying put is a plan like any other."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.allocation import Allocation
from planner.edge_cost import EdgeCost
from planner.evaluate import evaluate
from planner.moving import Moving, charged
from planner.plan import PlanError
from planner.policies import PAYS_FOR_LOADS, POLICIES, Options, solve, solve_shares
from planner.problem import Problem
from planner.programs.offloading import Tiers, route
from support.planner_cases import one_client, random_problem

SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=5, deadline=None, derandomize=True, database=None)


def held_at_random(problem: Problem, seed: int) -> dict[str, tuple[str, ...]]:
    """Models that fit, drawn for every node."""
    rng = np.random.default_rng([seed, 16])
    held = {}
    for names, bytes_nm, memory_n in (
        (problem.clients, problem.client_model_bytes_cm, problem.client_memory_c),
        (problem.edges, problem.edge_model_bytes_em, problem.edge_memory_e),
    ):
        for n, name in enumerate(names):
            chosen, free = [], float(memory_n[n])
            for m in rng.permutation(len(problem.models)):
                if bytes_nm[n, m] <= free and rng.random() < 0.7:
                    chosen.append(problem.models[m])
                    free -= float(bytes_nm[n, m])
            held[name] = tuple(chosen)
    return held


def moving(problem: Problem, seed: int, horizon_s: float = 10.0) -> Moving:
    """Costs of loads drawn by node and model, a fifth of them nothing."""
    rng = np.random.default_rng([seed, 61])
    nodes = problem.clients + problem.edges
    cost_s = {
        node: {m: float(rng.uniform(0, 0.3) * (rng.random() < 0.8)) for m in problem.models}
        for node in nodes
    }
    return Moving(held_at_random(problem, seed), cost_s, horizon_s)


@pytest.mark.parametrize("seed", [1, 4, 7])
@pytest.mark.parametrize("policy", PAYS_FOR_LOADS)
def test_the_plan_is_the_best_of_all_model_sets_after_its_loads(policy: str, seed: int) -> None:
    problem = random_problem(seed, edges=1, clients=2, models=3, tasks=2)
    options = Options(overrun=None, fill=1.0, gap=1e-6, moving=moving(problem, seed, 3.0))
    assert options.moving is not None
    priced = charged(problem, options.moving)
    best = 0.0
    for bits in product((False, True), repeat=9):
        chosen_nm = np.array(bits).reshape(3, 3)
        best = max(best, net_value(priced, chosen_nm[:2], chosen_nm[2:], options))
    found = solve(problem, policy, options)
    assert found.objective == pytest.approx(best / problem.total_load_qps, rel=1e-5)
    assert found.certificate.upper_bound >= best / problem.total_load_qps * (1 - 1e-9)
    checked = evaluate(problem, found.plan, moving=options.moving)
    assert checked.objective - checked.moving_cost == pytest.approx(found.objective, abs=1e-9)


def net_value(
    problem: Problem, x_cm: np.ndarray[Any, Any], y_em: np.ndarray[Any, Any], options: Options
) -> float:
    """Optimum with exactly these models, less their loads; -1 if they do not fit."""
    over_c = np.where(x_cm, problem.client_model_bytes_cm, 0).sum(1) > problem.client_memory_c
    over_e = np.where(y_em, problem.edge_model_bytes_em, 0).sum(1) > problem.edge_memory_e
    setup_e = np.where(y_em, problem.edge_setup_em, 0).sum(1)
    if over_c.any() or over_e.any() or (setup_e > problem.edge_compute_e * problem.window_e).any():
        return -1.0
    value = route(problem, x_cm, y_em, EdgeCost.batched(problem), options, Tiers()).value_qps
    loads_qps = problem.client_moving_cm[x_cm].sum() + problem.edge_moving_em[y_em].sum()
    return value - float(loads_qps)


@FEW
@given(seed=SEEDS, reach=st.sampled_from([1, 2]), horizon_s=st.sampled_from([0.5, 5.0, 60.0]))
def test_certified_and_exact_agree_and_their_bounds_hold(
    seed: int, reach: int, horizon_s: float
) -> None:
    problem = random_problem(seed, reach=reach)
    options = Options(overrun=None, gap=1e-4, moving=moving(problem, seed, horizon_s))
    exact, certified = solve(problem, "exact", options), solve(problem, "certified", options)
    assert certified.objective <= exact.certificate.upper_bound * (1 + 1e-7)
    assert exact.objective <= certified.certificate.upper_bound * (1 + 1e-7)
    assert certified.objective >= exact.objective * (1 - 2e-3)
    for found in (exact, certified):
        assert evaluate(problem, found.plan, fill=0.6).feasible


@FEW
@given(seed=SEEDS, policy=st.sampled_from(PAYS_FOR_LOADS), overrun=st.sampled_from([None, 0.05]))
def test_a_load_that_costs_nothing_changes_nothing(
    seed: int, policy: str, overrun: float | None
) -> None:
    problem = random_problem(seed)
    free = Moving(held_at_random(problem, seed), 0.0, 10.0)
    plain = solve(problem, policy, Options(overrun=overrun))
    found = solve(problem, policy, Options(overrun=overrun, moving=free))
    assert found.objective == plain.objective
    assert found.certificate.upper_bound == plain.certificate.upper_bound
    assert found.plan.routes == plain.plan.routes
    assert found.plan.onloading == plain.plan.onloading


@FEW
@given(seed=SEEDS, policy=st.sampled_from(PAYS_FOR_LOADS), overrun=st.sampled_from([None, 0.05]))
def test_with_no_time_to_gain_anything_the_models_stay_and_shares_are_new(
    seed: int, policy: str, overrun: float | None
) -> None:
    problem = random_problem(seed)
    stay = Moving(held_at_random(problem, seed), 0.1, 1e-9)
    found = solve(problem, policy, Options(overrun=overrun, moving=stay))
    held = {node: set(models) for node, models in stay.held.items()}
    kept = {node: set(models) for node, models in found.plan.onloading.items() if node in held}
    assert kept == held
    shares = solve_shares(problem, stay.held, Options(overrun=overrun))
    assert found.objective >= shares.objective * (1 - 1e-6)
    assert found.evaluation.moving_cost == 0.0


def test_a_load_pays_from_the_horizon_on_at_which_it_has_earned_its_cost() -> None:
    """`big` at the edge lifts all 10 queries/s: those of `a` from 0.5, those of `b` from 0.4 to
    0.8, which is 0.34 of accuracy. A load that costs 3.4 objective-seconds pays after 10 s."""
    problem = one_client(cloud_accuracy_t=[0.0, 0.0], client_memory_c=[20.0])
    held = {"c0": ("small-a", "small-b"), "e0": ()}
    for policy in PAYS_FOR_LOADS:
        for horizon_s, loads in ((9.9, False), (10.1, True)):
            options = Options(overrun=None, moving=Moving(held, 3.4, horizon_s))
            found = solve(problem, policy, options)
            assert ("big" in found.plan.onloading["e0"]) is loads
            assert set(found.plan.onloading["c0"]) == {"small-a", "small-b"}
            cost = 3.4 / horizon_s if loads else 0.0
            assert found.evaluation.moving_cost == pytest.approx(cost)
            assert found.plan.predicted is not None
            assert found.plan.predicted.moving_cost == pytest.approx(cost)
            value = (0.8 if loads else 0.46) - cost
            assert found.objective == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("seed", [2, 5])
def test_more_time_never_buys_a_plan_of_less_accuracy(seed: int) -> None:
    problem = random_problem(seed)
    reached = []
    for horizon_s in (0.1, 1.0, 10.0, 1e6):
        options = Options(overrun=None, gap=1e-6, moving=moving(problem, seed, horizon_s))
        reached.append(solve(problem, "exact", options).evaluation.objective)
    assert all(a <= b + 1e-5 for a, b in pairwise(reached))
    free = solve(problem, "exact", Options(overrun=None, gap=1e-6)).objective
    assert reached[-1] == pytest.approx(free, rel=1e-4)
    assert reached[0] < free


def test_policies_that_cannot_plan_with_it_say_so() -> None:
    problem = one_client()
    for policy in set(POLICIES) - set(PAYS_FOR_LOADS):
        with pytest.raises(ValueError, match=rf"policy '{policy}' plans without .*\(F16\)"):
            solve(problem, policy, Options(moving=Moving({}, 1.0, 10.0)))


def test_what_is_wrong_with_moving_is_said_in_a_line() -> None:
    with pytest.raises(ValueError, match="horizon_s must be greater than 0, got 0"):
        Moving({}, 1.0, 0)
    with pytest.raises(ValueError, match=r"cost_s of e0\.big must be at least 0, got -1"):
        Moving({}, {"e0": {"big": -1}}, 1.0)
    with pytest.raises(PlanError, match="has no node 'e9'"):
        charged(one_client(), Moving({"e9": ("big",)}, 1.0, 1.0))
    with pytest.raises(ValueError, match="says nothing of 'small-a' on 'c0'"):
        charged(one_client(), Moving({}, {"e0": {"big": 1.0}}, 1.0))


def test_a_held_model_that_no_longer_fits_is_no_reason_to_fail() -> None:
    problem = replace(one_client(), client_memory_c=np.array([20.0]))
    found = solve(problem, "certified", Options(moving=Moving({"c0": ("big",)}, 0.1, 10.0)))
    assert "big" not in found.plan.onloading["c0"]


def test_the_price_of_loads_is_kept_in_a_file_and_parts(tmp_path: Any) -> None:
    priced = charged(random_problem(3), moving(random_problem(3), 3))
    again = Problem.load(priced.save(tmp_path / "problem.json"))
    assert again.digest == priced.digest != random_problem(3).digest
    np.testing.assert_array_equal(again.edge_moving_em, priced.edge_moving_em)
    held = Allocation.empty(priced)
    held.onloaded_em[:] = True
    summary = evaluate(priced, held)
    assert summary.moving_cost == pytest.approx(priced.edge_moving_em.sum() / priced.total_load_qps)


def test_shares_of_the_held_models_that_are_known_are_not_sought_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = random_problem(4, edges=1, clients=2, models=3, tasks=2)
    costs = moving(problem, 4)
    plain = solve(problem, "certified", Options(moving=costs))
    known = solve_shares(problem, costs.held)
    sought: list[Problem] = []

    def counting(stated: Problem, *rest: Any) -> Any:
        sought.append(stated)
        return solve_shares(stated, *rest)

    monkeypatch.setattr("planner.policies.solve_shares", counting)
    again = solve(problem, "certified", Options(moving=costs, warm_start=known))
    assert sought == []
    assert again.objective == pytest.approx(plain.objective, abs=1e-6)
