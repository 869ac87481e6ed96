"""Small problems: one hand-checkable, and seeded random ones with every kind of budget."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from planner.allocation import Allocation
from planner.problem import Problem


def one_client(**changes: Any) -> Problem:
    """One client, one edge, two tasks, three models; budgets so wide that nothing binds.

    small-a serves `a` at 0.5, small-b serves `b` at 0.4, big serves both at 0.8; the cloud
    serves `a` with big at 0.9. Loads are 6 and 4 queries/s.
    """
    fields: dict[str, Any] = {
        "clients": ("c0",), "edges": ("e0",), "cloud": "sky", "tasks": ("a", "b"),
        "models": ("small-a", "small-b", "big"),
        "edge_of_a": [0], "load_ct": [[6.0, 4.0]],
        "accuracy_mt": [[0.5, 0.0], [0.0, 0.4], [0.8, 0.8]],
        "client_memory_c": [1000.0], "edge_memory_e": [1000.0],
        "client_model_bytes_cm": [[10.0, 10.0, 100.0]],
        "edge_model_bytes_em": [[10.0, 10.0, 100.0]],
        "client_compute_c": [1.0], "edge_compute_e": [1.0], "window_e": [0.5],
        "client_setup_cm": [[0.01, 0.01, 0.02]], "client_marginal_cm": [[0.01, 0.01, 0.03]],
        "edge_setup_em": [[0.01, 0.01, 0.02]], "edge_marginal_em": [[0.001, 0.001, 0.003]],
        "cloud_accuracy_t": [0.9, 0.0], "cloud_model_t": [2, -1], "cloud_cost_t": [0.01, 0.0],
        "query_bytes_t": [100.0, 100.0], "answer_bytes_t": [10.0, 10.0],
        "client_uplink_c": [1e6], "edge_uplink_e": [1e6], "cloud_compute": 1.0,
    }  # fmt: skip
    return Problem(**{**fields, **changes})


def random_problem(
    seed: int, *, edges: int = 2, clients: int = 4, models: int = 6, tasks: int = 3, reach: int = 1
) -> Problem:
    """A seeded problem in which every budget may bind; every model serves some task.

    With `reach` above 1 every client reaches that many edges (F12), some by links with a limit
    and a round trip of their own; the rest of the problem is the same for every reach.
    """
    rng = np.random.default_rng(seed)
    C, E, T, M = clients, edges, tasks, models
    serves_mt = rng.random((M, T)) < 0.5
    serves_mt[np.arange(M), rng.integers(T, size=M)] = True
    size_m = rng.choice([1.0, 3.0, 9.0], M) * rng.uniform(0.8, 1.2, M)
    accuracy_mt = np.where(serves_mt, rng.uniform(0.3, 0.95, (M, T)), 0.0)
    load_ct = rng.uniform(0, 8, (C, T)) * (rng.random((C, T)) < 0.8)
    cloud_t = rng.uniform(0.6, 1.0, T)
    served_t = rng.random(T) < 0.8
    drawn = Problem(
        clients=tuple(f"client-{c}" for c in range(C)),
        edges=tuple(f"edge-{e}" for e in range(E)),
        cloud="cloud",
        tasks=tuple(f"task-{t}" for t in range(T)),
        models=tuple(f"model-{m}" for m in range(M)),
        edge_of_a=rng.integers(E, size=C),
        load_ct=load_ct,
        accuracy_mt=accuracy_mt,
        client_memory_c=rng.uniform(1, 8, C),
        edge_memory_e=rng.uniform(4, 20, E),
        client_model_bytes_cm=np.tile(size_m, (C, 1)),
        edge_model_bytes_em=np.tile(size_m, (E, 1)),
        client_compute_c=rng.uniform(0.2, 1.0, C),
        edge_compute_e=rng.uniform(0.5, 1.0, E),
        window_e=rng.choice([0.05, 0.2, 1.0], E),
        client_setup_cm=0.004 * size_m * rng.uniform(0.5, 2, (C, 1)),
        client_marginal_cm=0.01 * size_m * rng.uniform(0.5, 2, (C, 1)),
        edge_setup_em=0.003 * size_m * rng.uniform(0.5, 2, (E, 1)),
        edge_marginal_em=0.002 * size_m * rng.uniform(0.5, 2, (E, 1)),
        cloud_accuracy_t=np.where(served_t, cloud_t, 0.0),
        cloud_model_t=np.where(served_t, rng.integers(M, size=T), -1),
        cloud_cost_t=np.where(served_t, rng.uniform(0.005, 0.02, T), 0.0),
        query_bytes_t=rng.uniform(1, 5, T),
        answer_bytes_t=np.ones(T),
        client_uplink_c=rng.uniform(5, 60, C),
        edge_uplink_e=rng.uniform(10, 60, E),
        cloud_compute=float(rng.choice([0.05, 0.2, np.inf])),
    )
    if reach == 1:
        return drawn
    rng = np.random.default_rng([seed, reach])
    first_c = drawn.edge_of_a
    order_ce = (first_c[:, None] + np.arange(E)) % E
    return replace(
        drawn,
        client_of_a=np.repeat(np.arange(C), reach),
        edge_of_a=order_ce[:, :reach].ravel(),
        uplink_a=np.where(rng.random(C * reach) < 0.5, np.inf, rng.uniform(2, 20, C * reach)),
        rtt_a=rng.uniform(0, 0.02, C * reach),
    )


def drawn_edge_routes(problem: Problem, rng: np.random.Generator) -> Allocation:
    """Routes to some of the models that the one edge can hold, no more than the uplinks carry."""
    plan = Allocation.empty(problem)
    plan.edge_atm[:] = rng.random(plan.edge_atm.shape) * (rng.random(len(problem.models)) < 0.4)
    plan.edge_atm[:] *= problem.edge_model_bytes_em[0] <= problem.edge_memory_e[0]
    plan.edge_atm[:] *= problem.accuracy_mt.T > 0
    plan.edge_atm[:] /= np.maximum(plan.edge_atm.sum(axis=2, keepdims=True), 1.0)
    sent_at = problem.query_bytes_t * problem.load_ct * plan.edge_atm.sum(axis=2)
    carried_a = problem.client_uplink_c / np.maximum(sent_at.sum(axis=1), 1e-9)
    plan.edge_atm[:] *= np.minimum(carried_a, 1.0)[:, None, None]
    return plan


def with_curves(
    problem: Problem, seed: int, *, bend: float = 0.3, sizes: tuple[int, ...] = (1, 2, 4, 8, 16)
) -> Problem:
    """`problem` with measured times (F15) that lie up to the part `bend` above or below its lines,
    and never fall."""
    rng = np.random.default_rng([seed, 15])
    sizes_b = np.array(sizes, dtype=float)
    line_emb = problem.edge_setup_em[:, :, None] + problem.edge_marginal_em[:, :, None] * sizes_b
    curve_emb = line_emb * rng.uniform(1 - bend, 1 + bend, line_emb.shape)
    return problem.changed(
        curve_sizes_z=sizes_b, edge_curve_emz=np.maximum.accumulate(curve_emb, axis=2)
    )


def eight_of_twelve(**changes: Any) -> Problem:
    """12 queries/s of `a` that only big at the edge answers (0.8), in windows of 1 s with 60 ms of
    work and batches of 8 at most. One query takes 20 ms, four take 20 ms, eight take 60 ms."""
    fields: dict[str, Any] = {
        "load_ct": [[12.0, 0.0]], "window_e": [1.0], "edge_compute_e": [0.06],
        "edge_max_batch_e": [8], "client_memory_c": [0.0], "cloud_accuracy_t": [0.0, 0.0],
        "cloud_model_t": [-1, -1], "edge_model_bytes_em": [[1e9, 1e9, 100.0]],
        "edge_setup_em": [[0.0137] * 3], "edge_marginal_em": [[0.00301] * 3],
        "curve_sizes_z": [1, 4, 8], "edge_curve_emz": [[[0.02, 0.02, 0.06]] * 3],
    }  # fmt: skip
    return one_client(**{**fields, **changes})
