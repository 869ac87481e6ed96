"""A client's model sets sought by branch and bound, against all of them one by one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.decomposition import client_sets
from planner.decomposition.best_set import Offers
from planner.decomposition.client_kernel import ClientProblem, routing_of_set
from planner.decomposition.client_sets import clients_of
from planner.decomposition.routing_layout import COMPUTE, UPLINK, VALUE, routing_length
from planner.decomposition.searched_clients import SearchedClients
from planner.decomposition.set_search import Holdable, search_sets
from planner.policies import Options, solve
from support.planner_cases import random_problem

MANY = settings(max_examples=60, deadline=None, derandomize=True, database=None)
M, T = 9, 4
NOTHING = np.zeros((1, M), dtype=bool)


def client_and_models(seed: int) -> tuple[ClientProblem, Holdable]:
    """Nine models, of which two to all may be held; either budget of the client may bind."""
    rng = np.random.default_rng(seed)
    edge_t, cloud_t = rng.uniform(0, 0.8, T), rng.uniform(0, 0.9, T)
    client = ClientProblem(
        accuracy_mt=np.where(rng.random((M, T)) < 0.6, rng.uniform(0.3, 0.95, (M, T)), 0.0),
        cost_m=rng.uniform(0.01, 0.1, M),
        load_t=rng.uniform(0, 8, T) * (rng.random(T) < 0.9),
        compute=float(rng.choice([rng.uniform(0, 0.8), 9.0])),
        uplink=float(rng.choice([rng.uniform(0, 30), np.inf])),
        remote_t=np.maximum(edge_t, cloud_t),
        in_cloud_t=cloud_t > edge_t,
        query_bytes_t=rng.uniform(1, 4, T),
        cloud_net_t=cloud_t,
    )
    charge_j = rng.uniform(0, 0.3, M) * rng.integers(2) * (rng.random(M) < 0.5)
    bytes_j = rng.choice([0.0, 1.0, 2.0, 3.0], M) + rng.uniform(0, 1, M)
    memory = float(rng.uniform(0.2, 1.0) * bytes_j.sum())
    return client, Holdable(np.arange(M), bytes_j, charge_j, memory)


def best_of_all(client: ClientProblem, may: Holdable) -> float:
    """The highest value of any set that fits, its charge taken off."""
    routing = np.zeros(routing_length(T))
    values = []
    for held in product((False, True), repeat=M):
        held_j = np.array(held)
        if may.bytes_j[held_j].sum() <= may.memory:
            value, _, _ = routing_of_set(np.flatnonzero(held_j), client, routing)
            values.append(float(value - may.charge_j[held_j].sum()))
    return max(values)


@MANY
@given(seed=st.integers(0, 10_000), tolerance=st.sampled_from([1e-9, 0.05]))
def test_a_search_finds_the_best_set_and_bounds_all_others(seed: int, tolerance: float) -> None:
    client, may = client_and_models(seed)
    held_j, routing = np.zeros(M, dtype=bool), np.empty(routing_length(T))
    bound, _ = search_sets(client, may, NOTHING, np.inf, tolerance, 10_000, held_j, routing)
    best = best_of_all(client, may)
    assert best * (1 - 1e-9) - 1e-9 <= bound <= best + tolerance + 1e-7
    assert may.bytes_j[held_j].sum() <= may.memory
    own = np.zeros(routing_length(T))
    value, _, _ = routing_of_set(np.flatnonzero(held_j), client, own)
    assert value - may.charge_j[held_j].sum() >= bound - tolerance - 1e-7
    assert routing[VALUE] == pytest.approx(own[VALUE] - may.charge_j[held_j].sum())
    assert routing[COMPUTE] == own[COMPUTE] <= client.compute * (1 + 1e-9)
    assert routing[UPLINK] == own[UPLINK] <= client.uplink * (1 + 1e-9)


@MANY
@given(seed=st.integers(0, 10_000), branches=st.integers(1, 12))
def test_a_search_that_ends_early_still_bounds_every_set(seed: int, branches: int) -> None:
    client, may = client_and_models(seed)
    held_j, routing = np.zeros(M, dtype=bool), np.empty(routing_length(T))
    bound, _ = search_sets(client, may, NOTHING, np.inf, 1e-9, branches, held_j, routing)
    assert bound >= best_of_all(client, may) * (1 - 1e-9) - 1e-9


def test_a_bound_known_before_ends_a_search_that_can_find_nothing_better() -> None:
    client, may = client_and_models(3)
    held_j, routing = np.zeros(M, dtype=bool), np.empty(routing_length(T))
    first, looked = search_sets(client, may, NOTHING, np.inf, 1e-6, 10_000, held_j, routing)
    assert looked >= 1
    again, looked = search_sets(client, may, held_j[None], first, 1e-6, 10_000, held_j, routing)
    assert (again, looked) == (first, 0)


@pytest.mark.parametrize("seed", range(6))
def test_bounds_kept_from_other_prices_hold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(seed, clients=2, models=9)
    clients = clients_of(problem, problem.client_uplink_c, fill=0.6, gap=1e-3)
    C, tasks = problem.load_ct.shape
    every_c = np.ones(C, dtype=bool)
    kept = SearchedClients(problem, clients, every_c)
    for _ in range(6):
        cloud_net_t = np.asarray(rng.uniform(0, 0.9, tasks))
        edge_ct = rng.uniform(0, 0.9, (C, tasks))
        offers = Offers(
            np.maximum(edge_ct, cloud_net_t), cloud_net_t > edge_ct, cloud_net_t
        )  # fmt: skip
        fresh = SearchedClients(problem, clients, every_c)
        found = []
        for searched in (kept, fresh):
            value_c, chosen_c = np.zeros(C), np.zeros(C, dtype=np.int64)
            routing_cr = np.zeros((C, routing_length(tasks)))
            searched.price(offers, value_c, routing_cr, chosen_c)
            found.append(value_c)
            for c in range(C):
                held = searched.members(c, int(chosen_c[c]))
                assert problem.client_model_bytes_cm[c, held].sum() <= problem.client_memory_c[c]
        assert found[0] == pytest.approx(found[1], abs=float(clients.tolerance_c.max()) * 1.01)


@pytest.mark.parametrize("seed", range(4))
def test_searched_clients_get_the_plan_of_enumerated_ones(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = random_problem(seed, models=10)
    asked = Options(overrun=None, gap=1e-3)
    before = solve(problem, "certified", asked).certificate
    monkeypatch.setattr(client_sets, "SET_LIMIT", 0)
    found = solve(problem, "certified", asked)
    assert found.evaluation.feasible
    assert found.certificate.gap <= 1e-3 + 1e-9 or before.gap > 1e-3
    assert found.certificate.upper_bound >= before.objective * (1 - 1e-9)
    assert found.objective <= before.upper_bound * (1 + 1e-9)
