"""Plans of problems with measured times of batches (F15): kept by every policy, below a bound."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from planner.allocation import Allocation
from planner.evaluate import evaluate
from planner.explanation.explain import explain
from planner.options import Options
from planner.policies import POLICIES, solve, solve_shares
from planner.problem import Problem
from support.planner_cases import eight_of_twelve, one_client, random_problem, with_curves

RULES = [Options(fill=0.8, overrun=None, gap=1e-4), Options(overrun=0.05, gap=1e-4)]
BY_RULE = pytest.mark.parametrize("options", RULES, ids=["F9", "F11"])


def curved(seed: int, **sizes: int) -> Problem:
    problem = random_problem(seed, **sizes)
    if seed % 2:
        problem = problem.changed(edge_max_batch_e=np.full(len(problem.edges), 4.0))
    return with_curves(problem, seed, bend=0.4)


@pytest.mark.parametrize("policy", ["exact", "certified", "baj3o"])
def test_the_hand_solved_optimum_fills_the_measured_batch(policy: str) -> None:
    problem = eight_of_twelve()
    solution = solve(problem, policy, Options(fill=1.0, overrun=None))
    assert solution.objective == pytest.approx(0.8 * 8 / 12, rel=1e-5)
    assert solution.evaluation.usages["F9"].use_n[0] == pytest.approx(0.06, rel=1e-5)
    assert solution.certificate.upper_bound >= solution.objective


@BY_RULE
def test_every_policy_keeps_the_curve_below_every_bound(options: Options) -> None:
    problem = curved(7 if options.overrun is None else 8)
    found = {name: solve(problem, name, options) for name in POLICIES}
    reached = max(solution.objective for solution in found.values())
    for name, solution in found.items():
        overrun = solution.overrun
        checked = evaluate(problem, solution.plan, fill=options.fill, overrun=overrun)
        assert checked.feasible, (name, checked.violations())
        assert evaluate(problem, solution.plan).feasible
        assert solution.problem is problem
        assert checked.objective == pytest.approx(solution.objective, abs=1e-9)
        assert solution.certificate.curve_error is not None
        assert explain(problem, solution).lines
        if solution.edge_form == "batched":  # the others' bounds are of J3O
            assert reached <= solution.certificate.upper_bound * (1 + 1e-7), name


@BY_RULE
@pytest.mark.parametrize("seed", [1, 4])
def test_no_set_of_models_is_above_the_bound(seed: int, options: Options) -> None:
    problem = curved(seed, edges=1, clients=1, models=3, tasks=2)
    nodes = (*problem.clients, *problem.edges)
    fits_nm = np.concatenate([
        problem.client_model_bytes_cm <= problem.client_memory_c[:, None],
        problem.edge_model_bytes_em <= problem.edge_memory_e[:, None],
    ])  # fmt: skip
    best = 0.0
    for bits in product((False, True), repeat=fits_nm.size):
        chosen_nm = np.array(bits).reshape(fits_nm.shape)
        bytes_nm = np.concatenate([problem.client_model_bytes_cm, problem.edge_model_bytes_em])
        memory_n = np.concatenate([problem.client_memory_c, problem.edge_memory_e])
        if np.any(chosen_nm & ~fits_nm) or np.any((bytes_nm * chosen_nm).sum(axis=1) > memory_n):
            continue
        held = {
            node: tuple(problem.models[m] for m in np.flatnonzero(chosen_m))
            for node, chosen_m in zip(nodes, chosen_nm, strict=True)
        }
        best = max(best, solve_shares(problem, held, options).evaluation.objective)
    for policy in ("exact", "certified"):
        solution = solve(problem, policy, options)
        assert best <= solution.certificate.upper_bound * (1 + 1e-7)
        assert solution.objective >= 0.98 * best


def two_models(seed: int, largest: float) -> Problem:
    """`a` and `b` have a model each, at the edge alone, whose window is too short for all."""
    problem = one_client(
        cloud_accuracy_t=[0.0, 0.0], cloud_model_t=[-1, -1], client_memory_c=[0.0],
        load_ct=[[20.0, 16.0]], edge_model_bytes_em=[[10.0, 10.0, 1e9]],
        edge_setup_em=[[0.01, 0.015, 0.02]], edge_marginal_em=[[0.004, 0.003, 0.01]],
        edge_compute_e=[0.1], edge_max_batch_e=[largest],
    )  # fmt: skip
    return with_curves(problem, seed, bend=0.4)


@BY_RULE
@pytest.mark.parametrize("largest", [3.0, 16.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_plan_of_a_grid_is_better(seed: int, largest: float, options: Options) -> None:
    problem = two_models(seed, largest)
    empty = Allocation.empty(problem)
    best = 0.0
    for first, second in product(np.linspace(0, 1, 26), repeat=2):
        edge_atm = np.zeros_like(empty.edge_atm)
        edge_atm[0, 0, 0], edge_atm[0, 1, 1] = first, second
        plan = Allocation(
            empty.onloaded_cm, np.array([[first > 0, second > 0, False]]), empty.local_ctm,
            edge_atm, empty.cloud_at,
        )  # fmt: skip
        checked = evaluate(
            problem, plan, fill=options.fill,
            overrun=options.overrun if isinstance(options.overrun, float) else None,
        )  # fmt: skip
        best = max(best, checked.objective if checked.feasible else 0.0)
    for policy in ("exact", "certified", "baj3o"):
        solution = solve(problem, policy, options)
        assert best <= solution.certificate.upper_bound * (1 + 1e-7)
        assert solution.objective >= 0.97 * best, policy


@BY_RULE
@pytest.mark.parametrize("seed", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_a_curve_that_is_a_line_leads_to_the_plan_of_the_line(seed: int, options: Options) -> None:
    line = random_problem(seed)
    curve = with_curves(line, seed, bend=0.0)
    for policy in ("certified", "j3o", "all-edge"):
        before, after = solve(line, policy, options), solve(curve, policy, options)
        assert after.objective == pytest.approx(before.objective, rel=2e-4)
        assert before.certificate.curve_error is None
        assert after.certificate.curve_error == pytest.approx(0.0, abs=1e-6)


def test_edges_that_do_not_batch_pay_the_measured_time_of_one_query() -> None:
    problem = curved(5)
    solution = solve(problem, "exact", Options(overrun=None, edge_form="unbatched"))
    assert evaluate(problem, solution.plan, fill=0.6, batching=False).feasible
    other = problem.changed(edge_curve_emz=problem.edge_curve_emz[:, :, :1] * [1, 2, 3, 4, 5])
    again = solve(other, "exact", Options(overrun=None, edge_form="unbatched"))
    assert again.objective == pytest.approx(solution.objective, rel=2e-4)


def test_a_plug_in_is_held_to_the_curve() -> None:
    problem = eight_of_twelve()
    options = Options(fill=1.0, overrun=None)

    def all_at_the_edge(problem: Problem, options: Options) -> dict[str, list[str]]:
        return {"e0": ["big"]}

    found = solve(problem, all_at_the_edge, options)
    assert found.objective == pytest.approx(0.8 * 8 / 12, rel=1e-5)
    assert found.objective <= found.certificate.upper_bound
