"""The compiled kernels on tiny instances: the routing's layout, linear programs, and the cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from planner.decomposition import compiled as compiled_module
from planner.decomposition import routing_layout
from planner.decomposition.best_set import (
    Clients,
    Offers,
    SetBounds,
    best_of_sets,
    price_clients,
)
from planner.decomposition.client_kernel import ClientProblem, routing_of_set
from planner.decomposition.compiled import digest_of_sources
from planner.decomposition.edge_kernel import EdgeModels, edge_value, edge_values
from planner.decomposition.model_sets import ModelSets, enumerate_sets
from planner.decomposition.routing_layout import (
    COMPUTE,
    UPLINK,
    VALUE,
    cloud_flows,
    edge_flows,
    routing_length,
)
from planner.policies import Options, solve
from support.paths import ROOT
from support.planner_cases import random_problem

SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=8, deadline=None, derandomize=True, database=None)
M, T = 5, 3


def client_problem(seed: int) -> ClientProblem:
    """One client with 5 models and 3 tasks at random prices; either budget may bind or be wide."""
    rng = np.random.default_rng(seed)
    edge_t, cloud_t = rng.uniform(0, 0.8, T), rng.uniform(0, 0.9, T)
    return ClientProblem(
        accuracy_mt=np.where(rng.random((M, T)) < 0.7, rng.uniform(0.3, 0.95, (M, T)), 0.0),
        cost_m=rng.uniform(0.01, 0.1, M),
        load_t=rng.uniform(0, 8, T) * (rng.random(T) < 0.9),
        compute=float(rng.uniform(0, 0.8)),
        uplink=float(rng.choice([rng.uniform(0, 30), np.inf])),
        remote_t=np.maximum(edge_t, cloud_t),
        in_cloud_t=cloud_t > edge_t,
        query_bytes_t=rng.uniform(1, 4, T),
        cloud_net_t=cloud_t,
    )


@pytest.mark.parametrize("tasks", [1, 2, 7])
def test_the_positions_of_a_routing_are_disjoint_and_cover_it(tasks: int) -> None:
    positions = np.arange(float(routing_length(tasks)))
    single = [COMPUTE, UPLINK, VALUE]
    flows = edge_flows(positions[None], tasks)[0].tolist()
    sent = cloud_flows(positions[None], tasks)[0].tolist()
    assert len(flows) == len(sent) == tasks
    assert single + flows + sent == positions.tolist()
    assert flows[0] == routing_layout.FIRST_EDGE_FLOW


def test_a_routing_adds_up_to_what_the_client_does_by_hand() -> None:
    # Task 0 (2/s) is best at the edge, task 1 (3/s) in the cloud, task 2 (5/s) at the client.
    client = ClientProblem(
        accuracy_mt=np.array([[0.1, 0.1, 0.9]]), cost_m=np.array([0.02]),
        load_t=np.array([2.0, 3.0, 5.0]), compute=1.0, uplink=1000.0,
        remote_t=np.array([0.5, 0.6, 0.2]), in_cloud_t=np.array([False, True, True]),
        query_bytes_t=np.array([10.0, 20.0, 30.0]), cloud_net_t=np.array([0.0, 0.8, 0.7]),
    )  # fmt: skip
    routing = np.full(routing_length(3), np.nan)
    value, compute_price, uplink_price = routing_of_set(np.array([0]), client, routing)
    assert value == pytest.approx(2 * 0.5 + 3 * 0.6 + 5 * 0.9)
    assert (compute_price, uplink_price) == (0.0, 0.0)
    assert edge_flows(routing[None], 3).tolist() == [[2.0, 0.0, 0.0]]
    assert routing[COMPUTE] == pytest.approx(5 * 0.02)
    assert routing[UPLINK] == pytest.approx(2 * 10 + 3 * 20)
    assert cloud_flows(routing[None], 3).tolist() == [[0.0, 3.0, 0.0]]
    assert routing[VALUE] == pytest.approx(3 * 0.8 + 5 * 0.9)


@FEW
@given(seed=SEEDS)
def test_the_value_of_a_set_is_that_of_its_linear_program(seed: int) -> None:
    client = client_problem(seed)
    held = np.flatnonzero(np.random.default_rng(seed).random(M) < 0.5)
    routing = np.zeros(routing_length(T))
    value, compute_price, uplink_price = routing_of_set(held, client, routing)
    # Shares of every task by each held model, then outside.
    by = len(held) + 1
    gain_tx = (
        np.column_stack([client.accuracy_mt[held].T, client.remote_t]) * client.load_t[:, None]
    )
    busy_tx = np.outer(client.load_t, np.append(client.cost_m[held], 0.0))
    sent_tx = np.zeros((T, by))
    sent_tx[:, -1] = client.load_t * client.query_bytes_t
    uplink = min(client.uplink, 1e9)
    found = linprog(
        -gain_tx.ravel(),
        A_ub=np.vstack([np.kron(np.eye(T), np.ones(by)), busy_tx.ravel(), sent_tx.ravel()]),
        b_ub=np.append(np.ones(T), [client.compute, uplink]),
    )
    assert value == pytest.approx(-found.fun, rel=1e-7, abs=1e-9)
    assert compute_price >= 0
    assert uplink_price >= 0
    assert routing[COMPUTE] <= client.compute * (1 + 1e-9)
    assert routing[UPLINK] <= client.uplink * (1 + 1e-9)


@FEW
@given(seed=SEEDS)
def test_what_an_edge_earns_is_the_value_of_its_linear_program(seed: int) -> None:
    rng = np.random.default_rng(seed)
    edge = edge_models(rng)
    held, price_kt = np.flatnonzero(rng.random(M) < 0.6), rng.uniform(0, 0.6, (4, T))
    values = []
    for price_t in price_kt:
        value, work_price = edge_value(held, edge, price_t)
        values.append(linear_program_of_edge(held, edge, price_t))
        assert value == pytest.approx(values[-1], rel=1e-7, abs=1e-9)
        assert work_price >= 0
    value_k, _ = edge_values(held, edge, price_kt)
    assert value_k == pytest.approx(values, rel=1e-7, abs=1e-9)


def edge_models(rng: np.random.Generator) -> EdgeModels:
    """Five models of an edge whose window may bind."""
    return EdgeModels(
        accuracy_mt=np.where(rng.random((M, T)) < 0.7, rng.uniform(0.3, 0.95, (M, T)), 0.0),
        bytes_m=np.ones(M), fixed_m=rng.uniform(0, 0.02, M), work_m=rng.uniform(0.01, 0.1, M),
        cap_t=rng.uniform(0, 8, T), memory=9.0, window=float(rng.uniform(0.1, 1.0)),
    )  # fmt: skip


def linear_program_of_edge(held: np.ndarray, edge: EdgeModels, price_t: np.ndarray) -> float:
    """Best gains of flows (queries/s of every task through every held model) in the window."""
    room = edge.window - edge.fixed_m[held].sum()
    accuracy_mt = edge.accuracy_mt[held]
    gain_mt = np.where(accuracy_mt > 0, accuracy_mt - price_t, -1.0)
    if gain_mt.size == 0:
        return 0.0
    found = linprog(
        -gain_mt.ravel(),
        A_ub=np.vstack([np.tile(np.eye(T), len(held)), np.repeat(edge.work_m[held], T)]),
        b_ub=np.append(edge.cap_t, room),
    )
    return float(-found.fun)


def test_an_edge_whose_fixed_work_exceeds_its_window_earns_nothing() -> None:
    edge = edge_models(np.random.default_rng(0))._replace(fixed_m=np.full(M, 1.0))
    assert edge_value(np.array([0, 1]), edge, np.zeros(T)) == (-np.inf, 0.0)


@FEW
@given(seed=SEEDS)
def test_bounds_kept_from_other_prices_change_no_value(seed: int) -> None:
    rng = np.random.default_rng(seed)
    clients, sets = three_clients(rng)
    known = nothing_known(clients, sets)
    for _ in range(4):
        cloud_net_t, edge_t = rng.uniform(0, 0.9, T), rng.uniform(0, 0.9, T)
        remote_ct = np.tile(np.maximum(cloud_net_t, edge_t), (3, 1))
        offers = Offers(remote_ct, np.tile(cloud_net_t > edge_t, (3, 1)), cloud_net_t)
        value_c, _ = price_clients(clients, sets, offers, known)
        fresh_c, _ = price_clients(clients, sets, offers, nothing_known(clients, sets))
        np.testing.assert_allclose(value_c, fresh_c, rtol=1e-7, atol=1e-7)
        np.testing.assert_array_equal(known.remote_ct, remote_ct)
        for c, (a, b) in enumerate(pairwise(sets.first_set_c.tolist())):
            alone = ClientProblem(
                clients.accuracy_cmt[0], clients.cost_cm[c], clients.load_ct[c],
                clients.compute_c[c], clients.uplink_c[c], remote_ct[c], offers.in_cloud_ct[c],
                clients.query_bytes_t, cloud_net_t,
            )  # fmt: skip
            best = brute_force(alone, sets, a, b)
            assert best.max() == pytest.approx(value_c[c], abs=1e-7)
            assert (known.bound_s[a:b] >= best * (1 - 1e-9)).all()


def three_clients(rng: np.random.Generator) -> tuple[Clients, ModelSets]:
    """Three clients of five models each, and their model sets."""
    clients = Clients(
        accuracy_cmt=np.where(rng.random((1, M, T)) < 0.7, rng.uniform(0.3, 0.95, (1, M, T)), 0.0),
        cost_cm=rng.uniform(0.01, 0.1, (3, M)), load_ct=rng.uniform(0, 8, (3, T)),
        compute_c=rng.uniform(0, 0.8, 3), uplink_c=rng.uniform(0, 30, 3),
        query_bytes_t=rng.uniform(1, 4, T), tolerance_c=np.full(3, 1e-9),
    )  # fmt: skip
    first_set, first_member = [0], [0]
    members: list[int] = []
    for c in range(3):
        start, found = enumerate_sets(
            rng.uniform(1, 3, M), clients.cost_cm[c], clients.accuracy_cmt[0],
            np.ones(T, dtype=bool), 5.0, 100, np.zeros(M),
        )  # fmt: skip
        first_member += (start[1:] + len(members)).tolist()
        members += found.tolist()
        first_set.append(first_set[-1] + len(start) - 1)
    charge_s = np.zeros(len(first_member) - 1)
    return clients, ModelSets(
        np.array(first_set), np.array(first_member), np.array(members), charge_s
    )


def nothing_known(clients: Clients, sets: ModelSets) -> SetBounds:
    """As before the first prices."""
    return SetBounds(
        np.full(sets.first_set_c[-1], np.inf), np.full(clients.load_ct.shape, np.inf),
        np.zeros(len(clients.load_ct), dtype=np.int64),
    )  # fmt: skip


def brute_force(client: ClientProblem, sets: ModelSets, a: int, b: int) -> np.ndarray:
    """The values of the sets a to b - 1, each by its own linear program."""
    routing = np.zeros(routing_length(T))
    held = [sets.members[i:j] for i, j in pairwise(sets.first_member_s[a : b + 1].tolist())]
    return np.array([routing_of_set(m, client, routing)[0] for m in held])


PLAIN = """
import json
from planner.decomposition.best_set import price_clients
from planner.policies import Options, solve
from support.planner_cases import random_problem
assert not hasattr(price_clients, "py_func")
problem = random_problem(3, clients=2, models=4)
found = solve(problem, "certified", Options(overrun=None, gap=1e-3)).certificate
print(json.dumps([found.objective, found.upper_bound, found.iterations]))
"""


@pytest.mark.slow
def test_a_search_with_plain_kernels_gives_the_same_plan() -> None:
    environment: dict[str, str] = {
        **os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
    }  # fmt: skip
    output = subprocess.run(
        [sys.executable, "-c", PLAIN], env=environment, capture_output=True, text=True, check=True
    ).stdout
    objective, upper_bound, iterations = json.loads(output)
    problem = random_problem(3, clients=2, models=4)
    found = solve(problem, "certified", Options(overrun=None, gap=1e-3)).certificate
    assert found.objective == pytest.approx(objective, rel=1e-9)
    assert found.upper_bound == pytest.approx(upper_bound, rel=1e-9)
    assert found.iterations == iterations


def test_a_change_in_any_kernel_file_gives_another_digest(tmp_path: Path) -> None:
    (tmp_path / "layout.py").write_text("VALUE = 2\n")
    (tmp_path / "kernel.py").write_text("from layout import VALUE\n")
    before = digest_of_sources(tmp_path)
    (tmp_path / "notes.txt").write_text("no source\n")
    assert digest_of_sources(tmp_path) == before
    (tmp_path / "layout.py").write_text("VALUE = 3\n")
    changed = digest_of_sources(tmp_path)
    (tmp_path / "layout.py").rename(tmp_path / "positions.py")
    assert len({before, changed, digest_of_sources(tmp_path)}) == 3


def test_kernels_are_cached_in_the_folder_of_their_digest() -> None:
    kernel: Any = best_of_sets
    folder = Path(compiled_module.__file__).parent
    assert f"kernels-{digest_of_sources(folder)}" in Path(kernel.stats.cache_path).parts


def test_a_cache_that_cannot_be_written_stops_nobody() -> None:
    code = (
        "from planner.decomposition.compiled import compiled\n"
        "print(compiled(lambda x: x + 1.0)(2.0))\n"
        "import planner.policies"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "NUMBA_CACHE_DIR": "/proc/no/such/folder"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3.0\n"
