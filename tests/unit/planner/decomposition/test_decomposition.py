"""The decomposition: kernels against solvers and plain Python, bounds that contain the optimum."""

from __future__ import annotations

from dataclasses import replace
from inspect import unwrap
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from planner.decomposition import client_sets
from planner.decomposition.best_set import best_of_sets
from planner.decomposition.client_kernel import ClientProblem
from planner.decomposition.edge_kernel import EdgeModels, edge_value
from planner.decomposition.edge_sets import new_tree, select_set
from planner.decomposition.levels import EdgeBudgets, LinearCuts
from planner.decomposition.model_sets import enumerate_sets
from planner.decomposition.routing_layout import (
    COMPUTE,
    UPLINK,
    VALUE,
    edge_flows,
    routing_length,
)
from planner.evaluate import evaluate
from planner.policies import Options, solve
from planner.policies.warm_routes import warm_routes
from planner.solvers import LinearProgram, SolverLimits, solve_program
from support.planner_cases import random_problem

SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=8, deadline=None, derandomize=True, database=None)


def client(seed: int) -> dict[str, Any]:
    """One client with 7 models and 3 tasks at random prices."""
    rng = np.random.default_rng(seed)
    M, T = 7, 3
    accuracy_mt = np.where(rng.random((M, T)) < 0.6, rng.uniform(0.3, 0.95, (M, T)), 0.0)
    service_t = rng.uniform(0, 0.8, T)
    cloud_t = rng.uniform(0, 0.9, T)
    return {
        "accuracy_mt": accuracy_mt,
        "bytes_m": rng.uniform(1, 5, M),
        "cost_m": rng.uniform(0.01, 0.1, M),
        "charge_m": np.zeros(M),
        "load_t": rng.uniform(0, 8, T),
        "memory": float(rng.uniform(2, 12)),
        "beta": float(rng.uniform(0, 1)),
        "kappa": float(rng.uniform(0, 30)),
        "service_t": service_t,
        "cloud_t": cloud_t,
        "query_bytes_t": rng.uniform(1, 4, T),
    }


def kernel_arguments(data: dict[str, Any], enumerate_all: Any = enumerate_sets) -> tuple[Any, ...]:
    start, members = enumerate_all(
        data["bytes_m"], data["cost_m"], data["accuracy_mt"], data["load_t"] > 0,
        data["memory"], 10_000, data["charge_m"],
    )  # fmt: skip
    charge_s = np.array([data["charge_m"][members[a:b]].sum() for a, b in pairwise(start)])
    remote_t = np.maximum(data["service_t"], data["cloud_t"])
    problem = ClientProblem(
        data["accuracy_mt"], data["cost_m"], data["load_t"], data["beta"], data["kappa"],
        remote_t, data["cloud_t"] > data["service_t"], data["query_bytes_t"], data["cloud_t"],
    )  # fmt: skip
    return problem, start, members, charge_s, np.full(len(start) - 1, np.inf), 0, 1e-9


def client_optimum(data: dict[str, Any]) -> float:
    """The client's problem at these prices as one mixed-integer program."""
    accuracy_mt, load_t = data["accuracy_mt"], data["load_t"]
    M, T = accuracy_mt.shape
    remote_t = np.maximum(data["service_t"], data["cloud_t"])
    size = M + M * T + T
    objective_v = np.concatenate(
        [-data["charge_m"], (accuracy_mt * load_t).ravel(), remote_t * load_t]
    )
    rows = np.zeros((T + M * T + 3, size))
    for t in range(T):
        rows[t, M + np.arange(M) * T + t] = 1
        rows[t, M + M * T + t] = 1
    for k in range(M * T):
        rows[T + k, M + k], rows[T + k, k // T] = 1, -1
    rows[-3, :M] = data["bytes_m"]
    rows[-2, M : M + M * T] = (data["cost_m"][:, None] * load_t).ravel()
    rows[-1, M + M * T :] = load_t * data["query_bytes_t"]
    rhs_r = np.concatenate([np.ones(T), np.zeros(M * T)])
    rhs_r = np.append(rhs_r, [data["memory"], data["beta"], data["kappa"]])
    integer_v = np.arange(size) < M
    program = LinearProgram(
        objective_v, np.ones(size), integer_v, sp.csc_matrix(rows), rhs_r, np.ones(len(rhs_r))
    )
    return solve_program(program, SolverLimits(gap=1e-9), "highs").objective


@FEW
@given(seed=SEEDS, charged=st.booleans())
def test_the_client_subproblem_is_exact_and_its_routing_earns_its_value(
    seed: int, charged: bool
) -> None:
    data = client(seed)
    if charged:  # F16: some models are held, the others cost something to load
        rng = np.random.default_rng(seed)
        data["charge_m"] = rng.uniform(0, 4, 7) * (rng.random(7) < 0.7)
    routing = np.zeros(routing_length(3))
    value, chosen = best_of_sets(*(*kernel_arguments(data), routing))
    assert value == pytest.approx(client_optimum(data), rel=1e-6, abs=1e-6)
    assert chosen >= 0
    assert routing[COMPUTE] <= data["beta"] * (1 + 1e-9) + 1e-12
    assert routing[UPLINK] <= data["kappa"] * (1 + 1e-9) + 1e-12
    earned = routing[VALUE] + edge_flows(routing[None], 3)[0] @ data["service_t"]
    assert earned == pytest.approx(value, rel=1e-7, abs=1e-7)


@FEW
@given(seed=SEEDS)
def test_every_maximal_set_is_enumerated(seed: int) -> None:
    data = client(seed)
    start, members = enumerate_sets(
        data["bytes_m"], data["cost_m"], np.ones((7, 3)) * np.arange(1, 8)[:, None] / 10,
        np.ones(3, dtype=bool), data["memory"], 10_000, np.zeros(7),
    )  # fmt: skip
    found = {frozenset(members[a:b].tolist()) for a, b in pairwise(start)}
    kept = sorted(set().union(*found)) if found else []
    size = data["bytes_m"]
    every = [set(s) for k in range(8) for s in combinations(kept, k)]
    fitting = [s for s in every if size[list(s)].sum() <= data["memory"]]
    maximal = {frozenset(s) for s in fitting if not any(s < other for other in fitting)}
    assert found == maximal


@FEW
@given(seed=SEEDS)
def test_the_best_edge_set_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    K, J, T = 3, 7, 3
    edges = 1 + seed % 3
    edge_j = np.sort(rng.integers(0, edges, J))
    gain_kjt = rng.random((K, J, T)) * (rng.random((K, J, T)) < 0.6)
    base_k, cost_kj = rng.random(K), 0.4 * rng.random((K, J))
    size_j, fixed_j = rng.uniform(0.5, 2, J), rng.uniform(0, 1, J)
    memory_e, window_e = np.full(edges, 3.0 / edges), np.full(edges, 1.5 / edges)
    best = mixed = -np.inf
    for k in range(J + 1):
        for chosen in combinations(range(J), k):
            own = [[j for j in chosen if edge_j[j] == e] for e in range(edges)]
            if all(
                size_j[j].sum() <= memory_e[e] and fixed_j[j].sum() <= window_e[e]
                for e, j in enumerate(own)
            ):
                value_k = base_k - cost_kj[:, list(chosen)].sum(axis=1)
                for j in own:
                    value_k = value_k + gain_kjt[:, j].max(axis=1, initial=0.0).sum(axis=1)
                best = max(best, float(value_k.min()))
                held = list(chosen)
                here_k = base_k - cost_kj[:, held].sum(axis=1)
                mixed = max(mixed, lowest_mix(here_k, gain_kjt[:, held], edge_j[held]))
    arguments = (
        LinearCuts(base_k, gain_kjt, cost_kj),
        EdgeBudgets(edge_j, size_j, memory_e, fixed_j, window_e),
    )
    value, mask, _ = select_set(*arguments, new_tree(J, np.inf), 0.0, 10**6, 0)
    assert max(mixed, 0.0) - 1e-9 <= value <= max(best, 0.0) + 1e-9
    assert mask.sum() == 0 or value > 0
    above, nothing, _ = select_set(*arguments, new_tree(J, np.inf), best + 1e-6, 10**6, 0)
    assert above == pytest.approx(best + 1e-6)
    assert not nothing.any()
    assert mask.sum() > 0 or mixed <= max(float(base_k.min()), 0.0) + 1e-9


def lowest_mix(base_k: np.ndarray, gain_kjt: np.ndarray, edge_j: np.ndarray) -> float:
    """The lowest of what all mixes of cuts say of a set, by linear programming duality: one share
    of every task by each model, valued by all cuts."""
    K, J, T = gain_kjt.shape
    edges = np.eye(3)[:, edge_j]  # e x j
    one = np.einsum("ej,ts->etjs", edges, np.eye(T)).reshape(3 * T, J * T)
    found = linprog(
        np.append(np.zeros(J * T), -1.0),
        A_ub=np.vstack([
            np.column_stack([-gain_kjt.reshape(K, J * T), np.ones(K)]),
            np.column_stack([one, np.zeros(3 * T)]),
        ]),
        b_ub=np.append(base_k, np.ones(3 * T)),
        bounds=[(0, None)] * (J * T) + [(None, None)],
    )  # fmt: skip
    return float(-found.fun)


@pytest.mark.parametrize("seed", range(5))
def test_compiled_and_plain_kernels_give_the_same_numbers(seed: int) -> None:
    data = client(seed)
    compiled, plain = np.zeros(routing_length(3)), np.zeros(routing_length(3))
    fast = best_of_sets(*(*kernel_arguments(data), compiled))
    slow = unwrap(best_of_sets)(*kernel_arguments(data, unwrap(enumerate_sets)), plain)
    assert fast == pytest.approx(slow, rel=1e-12)
    np.testing.assert_allclose(compiled, plain, rtol=1e-9, atol=1e-12)
    rng = np.random.default_rng(seed)
    active = np.array([0, 2, 5])
    edge = EdgeModels(
        data["accuracy_mt"], data["bytes_m"], rng.uniform(0, 0.01, 7), data["cost_m"],
        data["load_t"], 8.0, 0.2,
    )  # fmt: skip
    arguments = (active, edge, data["service_t"])
    assert edge_value(*arguments) == pytest.approx(unwrap(edge_value)(*arguments), rel=1e-12)
    cuts = LinearCuts(rng.random(2), rng.random((2, 7, 3)), rng.random((2, 7)) / 5)
    budgets = EdgeBudgets(
        np.zeros(7, np.int64), data["bytes_m"], np.array([8.0]), rng.random(7), np.array([2.0])
    )
    value, mask, nodes = select_set(cuts, budgets, new_tree(7, np.inf), 0.0, 10**6, 0)
    again, same, count = unwrap(select_set)(
        cuts, budgets, unwrap(new_tree)(7, np.inf), 0.0, 10**6, 0
    )
    assert value == pytest.approx(again, rel=1e-12)
    assert nodes == count
    np.testing.assert_array_equal(mask, same)


@FEW
@given(seed=SEEDS)
def test_its_interval_contains_the_optimum(seed: int) -> None:
    problem = random_problem(seed)
    for form in ("batched", "unbatched"):
        best = solve(problem, "exact", Options(overrun=None, gap=1e-6, edge_form=form)).certificate
        found = solve(
            problem, "certified", Options(overrun=None, gap=1e-4, edge_form=form)
        ).certificate
        assert found.objective <= best.upper_bound * (1 + 1e-7)
        assert best.objective <= found.upper_bound * (1 + 1e-7)
        assert found.gap <= 0.03  # four clients only: F8's single price leaves a little


@pytest.mark.parametrize("seed", range(4))
def test_the_gap_asked_for_is_reached(seed: int) -> None:
    problem = random_problem(seed, edges=2, clients=16, models=12, tasks=4)
    certificate = solve(problem, "certified", Options(overrun=None, gap=5e-3)).certificate
    assert certificate.gap <= (5e-3 if np.isinf(problem.cloud_compute) else 1e-2)


def test_a_previous_plan_speeds_up_and_never_harms() -> None:
    problem = random_problem(2, clients=12, models=10)
    first = solve(problem, "certified", Options(overrun=None, gap=1e-3))
    for previous in (first, first.plan):
        again = solve(problem, "certified", Options(overrun=None, gap=1e-3, warm_start=previous))
        assert again.objective >= first.objective * (1 - 1e-9)
        assert again.certificate.gap <= max(1e-3, first.certificate.gap) * (1 + 1e-6)
    carried = solve(problem, "certified", Options(overrun=None, gap=1e-3, warm_start=first))
    assert carried.certificate.iterations < first.certificate.iterations


def test_a_search_begins_from_the_best_routes_of_the_previous_models() -> None:
    problem = random_problem(2, edges=3, clients=12, models=10)
    options = Options(overrun=None, gap=1e-3)
    first = solve(problem, "certified", options)
    moved = problem.changed(load_ct=problem.load_ct * 1.05)
    begun = warm_routes(moved, "batched", replace(options, warm_start=first), 0.0, 60.0)
    assert begun is not None
    assert evaluate(moved, begun.allocation, fill=options.fill).feasible
    again = solve(moved, "certified", replace(options, warm_start=first))
    assert evaluate(moved, begun.allocation).objective <= again.objective * (1 + 1e-9)
    assert again.certificate.gap <= 1e-3


def test_an_edge_whose_models_no_longer_fit_its_window_begins_from_nothing() -> None:
    problem = random_problem(2, edges=3, clients=12, models=10)
    options = Options(overrun=None, gap=1e-3)
    first = solve(problem, "certified", options)
    held_e = first.allocation.onloaded_em.any(axis=1)
    short_e = np.where(np.arange(3) == int(np.flatnonzero(held_e)[0]), 1e-6, 1.0)
    narrow = problem.changed(edge_compute_e=problem.edge_compute_e * short_e)
    begun = warm_routes(narrow, "batched", replace(options, warm_start=first), 0.0, 60.0)
    assert begun is not None
    assert begun.fits_e.tolist() == (short_e == 1.0).tolist()
    again = solve(narrow, "certified", replace(options, warm_start=first))
    cold = solve(narrow, "certified", options)
    assert again.evaluation.feasible
    assert again.objective == pytest.approx(cold.objective, rel=2e-3)


def test_model_sets_are_kept_from_plan_to_plan_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: list[int] = []

    def count_and_enumerate(*arguments: Any) -> Any:
        counted.append(1)
        return enumerate_sets(*arguments)

    kept = client_sets._KnownSets()
    monkeypatch.setattr(client_sets, "enumerate_sets", count_and_enumerate)
    monkeypatch.setattr(client_sets, "_known_sets", kept)
    problem = random_problem(2, clients=4, models=8)
    first = solve(problem, "certified", Options(overrun=None))
    clients = len(counted)
    assert 1 <= clients <= 4
    again = solve(problem.changed(load_ct=2 * problem.load_ct), "certified", Options(overrun=None))
    assert len(counted) == clients
    assert again.evaluation.feasible
    monkeypatch.setattr(client_sets, "KEPT_BYTES", 1)
    kept.keep(("other",), real_sets := (np.zeros(1, np.int64), np.zeros(0, np.int64)))
    assert list(kept.of.values()) == [real_sets]
    assert solve(problem, "certified", Options(overrun=None)).objective == first.objective


@pytest.mark.parametrize("seed", range(4))
def test_too_many_model_sets_are_relaxed_not_truncated(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_sets, "SET_LIMIT", 2)
    problem = random_problem(seed, models=10)
    best = solve(problem, "exact", Options(overrun=None, gap=1e-6)).certificate
    found = solve(problem, "certified", Options(overrun=None, gap=1e-3))
    assert found.evaluation.feasible
    assert found.objective <= best.upper_bound * (1 + 1e-7)
    assert best.objective <= found.certificate.upper_bound * (1 + 1e-7)


def test_edges_in_worker_processes_give_the_same_plan() -> None:
    problem = random_problem(6, edges=8, clients=16, models=6)
    alone = solve(problem, "certified", Options(overrun=None, gap=1e-3))
    shared = solve(problem, "certified", Options(overrun=None, gap=1e-3, threads=2))
    assert shared.objective == pytest.approx(alone.objective, rel=1e-9)
    assert shared.certificate.upper_bound == pytest.approx(alone.certificate.upper_bound, rel=1e-9)
