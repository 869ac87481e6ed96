"""Small problems in the regimes in which planners go wrong: sums that fit exactly, zeros, numbers
of very different sizes.

Certificates are tested on them (benchmarks/certificate_check.py, row P8). Axis letters as in
`planner.problem`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from planner.problem import Problem

__all__ = ["ADVERSE", "adverse_problem"]


def adverse_problem(seed: int) -> tuple[str, Problem]:
    """A problem of one to three edges under one to three of `ADVERSE`, and their names.

    The same for one seed on every machine. It always is a valid `Problem`, and no policy may fail
    on it.
    """
    rng = np.random.default_rng([seed, 16])
    problem = _drawn(rng)
    chosen = rng.choice(list(ADVERSE), size=int(rng.integers(1, 4)), replace=False)
    for name in chosen:
        problem = ADVERSE[str(name)](problem, rng)
    return " + ".join(str(name) for name in chosen), problem


def _drawn(rng: Generator) -> Problem:
    """Any budget may bind; every model serves a task."""
    E, T = int(rng.integers(1, 4)), int(rng.integers(1, 5))
    C, M = int(rng.integers(E, 3 * E + 1)), int(rng.integers(2, 7))
    serves_mt = rng.random((M, T)) < 0.5
    serves_mt[np.arange(M), rng.integers(T, size=M)] = True
    size_m = rng.choice([1.0, 3.0, 9.0], M) * rng.uniform(0.8, 1.2, M)
    served_t = rng.random(T) < 0.8
    return Problem(
        clients=tuple(f"client-{c}" for c in range(C)),
        edges=tuple(f"edge-{e}" for e in range(E)),
        cloud="cloud",
        tasks=tuple(f"task-{t}" for t in range(T)),
        models=tuple(f"model-{m}" for m in range(M)),
        edge_of_a=np.concatenate([np.arange(E), rng.integers(E, size=C - E)]),
        load_ct=rng.uniform(0, 12, (C, T)) * (rng.random((C, T)) < 0.8),
        accuracy_mt=np.where(serves_mt, rng.uniform(0.3, 0.95, (M, T)), 0.0),
        client_memory_c=rng.uniform(1, 8, C),
        edge_memory_e=rng.uniform(4, 20, E),
        client_model_bytes_cm=np.tile(size_m, (C, 1)),
        edge_model_bytes_em=np.tile(size_m, (E, 1)),
        client_compute_c=rng.uniform(0.2, 1.0, C),
        edge_compute_e=rng.uniform(0.5, 1.0, E),
        window_e=rng.choice([0.01, 0.05, 0.2, 1.0], E),
        client_setup_cm=0.004 * size_m * rng.uniform(0.5, 2, (C, 1)),
        client_marginal_cm=0.01 * size_m * rng.uniform(0.5, 2, (C, 1)),
        edge_setup_em=0.003 * size_m * rng.uniform(0.5, 2, (E, 1)),
        edge_marginal_em=0.002 * size_m * rng.uniform(0.5, 2, (E, 1)),
        cloud_accuracy_t=np.where(served_t, rng.uniform(0.6, 1.0, T), 0.0),
        cloud_model_t=np.where(served_t, rng.integers(M, size=T), -1),
        cloud_cost_t=np.where(served_t, rng.uniform(0.005, 0.02, T), 0.0),
        query_bytes_t=rng.uniform(1, 5, T),
        answer_bytes_t=np.ones(T),
        client_uplink_c=rng.uniform(5, 60, C),
        edge_uplink_e=rng.uniform(10, 60, E),
        rtt_a=rng.uniform(0, 0.02, C),
        edge_rtt_e=rng.uniform(0, 0.05, E),
    )


def _exact_memory(problem: Problem, rng: Generator) -> Problem:
    """Two or three models fill each memory exactly, in units of a tenth (.1 + .2 = .3)."""
    bytes_m = rng.integers(1, 8, len(problem.models)) / 10

    def filled(count: int) -> np.ndarray:
        return np.array([
            rng.choice(bytes_m, size=min(len(bytes_m), int(rng.integers(2, 4))), replace=False)
            .sum().round(1)
            for _ in range(count)
        ])  # fmt: skip

    C, E = len(problem.clients), len(problem.edges)
    return problem.changed(client_memory_c=filled(C), edge_memory_e=filled(E),
        client_model_bytes_cm=np.tile(bytes_m, (C, 1)),
        edge_model_bytes_em=np.tile(bytes_m, (E, 1)),
    )  # fmt: skip


def _exact_window(problem: Problem, rng: Generator) -> Problem:
    """The set-ups of one model, or of two, fill an edge's window exactly; a query costs nothing."""
    setup_em = np.array(problem.edge_setup_em)
    window_e = np.array(problem.window_e)
    for e in range(len(problem.edges)):
        chosen = rng.choice(len(problem.models), size=min(2, len(problem.models)), replace=False)
        used = setup_em[e, chosen[: int(rng.integers(1, len(chosen) + 1))]].sum()
        if used > 0 and problem.edge_compute_e[e] > 0:
            window_e[e] = used / problem.edge_compute_e[e]
    free_m = rng.random(len(problem.models)) < 0.7
    return problem.changed(window_e=window_e,
        edge_marginal_em=np.where(free_m, 0.0, problem.edge_marginal_em),
    )  # fmt: skip


def _free_queries(problem: Problem, rng: Generator) -> Problem:
    """Some models cost nothing but their set-up, some nothing at all."""
    M = len(problem.models)
    free_m, idle_m = rng.random(M) < 0.5, rng.random(M) < 0.3
    return problem.changed(
        edge_marginal_em=np.where(free_m, 0.0, problem.edge_marginal_em),
        edge_setup_em=np.where(idle_m, 0.0, problem.edge_setup_em),
        client_setup_cm=np.where(idle_m, 0.0, problem.client_setup_cm),
        client_marginal_cm=np.where(free_m, 0.0, problem.client_marginal_cm),
    )


def _zero_bytes(problem: Problem, rng: Generator) -> Problem:
    """Queries without bytes beside links without bandwidth."""
    return problem.changed(
        query_bytes_t=problem.query_bytes_t * (rng.random(len(problem.tasks)) < 0.5),
        client_uplink_c=problem.client_uplink_c * (rng.random(len(problem.clients)) < 0.5),
        edge_uplink_e=problem.edge_uplink_e * (rng.random(len(problem.edges)) < 0.5),
    )


def _nine_decades(problem: Problem, rng: Generator) -> Problem:
    """Loads from a query in days to thousands a second."""
    scale_ct = 10.0 ** rng.uniform(-6, 3, problem.load_ct.shape)
    return problem.changed(load_ct=problem.load_ct * scale_ct)


def _tiny_load(problem: Problem, rng: Generator) -> Problem:
    """All loads below a query in thirty years."""
    return problem.changed(load_ct=problem.load_ct * 10.0 ** rng.uniform(-13, -9))


def _heavy_load(problem: Problem, rng: Generator) -> Problem:
    """A hundred to a million times what can be served."""
    return problem.changed(load_ct=problem.load_ct * 10.0 ** rng.uniform(2, 6))


def _real_bytes(problem: Problem, rng: Generator) -> Problem:
    """Memory and links in bytes of real models, with odd last digits."""
    unit = 1e7 * rng.uniform(0.5, 2)
    return problem.changed(
        client_memory_c=np.floor(problem.client_memory_c * unit),
        edge_memory_e=np.floor(problem.edge_memory_e * unit),
        client_model_bytes_cm=np.floor(problem.client_model_bytes_cm * unit),
        edge_model_bytes_em=np.floor(problem.edge_model_bytes_em * unit),
        query_bytes_t=problem.query_bytes_t * 1e5,
        client_uplink_c=problem.client_uplink_c * 1e5,
        edge_uplink_e=problem.edge_uplink_e * 1e5,
    )


def _small_batches(problem: Problem, rng: Generator) -> Problem:
    """A largest batch of one to four queries."""
    return problem.changed(edge_max_batch_e=rng.integers(1, 5, len(problem.edges)).astype(float))


def _deadlines(problem: Problem, rng: Generator) -> Problem:
    """Deadlines near what windows and links take, some exactly that."""
    edge_s = 2 * float(problem.window_e.max())
    exact_t = rng.random(len(problem.tasks)) < 0.5
    drawn_t = rng.uniform(0.5, 2, len(problem.tasks)) * edge_s
    return problem.changed(
        deadline_t=np.where(exact_t, edge_s, drawn_t), rtt_a=np.zeros_like(problem.rtt_a)
    )


def _several_edges(problem: Problem, rng: Generator) -> Problem:
    """Clients reach several edges, some by links with a limit of their own (F12)."""
    C, E = len(problem.clients), len(problem.edges)
    reach = int(rng.integers(1, E + 1))
    order_ce = (problem.edge_of_a[:C, None] + np.arange(E)) % E
    limits_a = np.where(rng.random(C * reach) < 0.5, np.inf, rng.uniform(0, 20, C * reach))
    return problem.changed(
        client_of_a=np.repeat(np.arange(C), reach), edge_of_a=order_ce[:, :reach].ravel(),
        uplink_a=limits_a, rtt_a=np.zeros(C * reach),
    )  # fmt: skip


def _scarce_cloud(problem: Problem, rng: Generator) -> Problem:
    """The cloud's compute couples all edges (F8); sometimes there is none."""
    return problem.changed(cloud_compute=float(rng.choice([0.0, 0.01, 0.05, 0.2])))


def _bursts(problem: Problem, rng: Generator) -> Problem:
    """Counts burstier than Poisson, or steadier; clients burst alone or at once (F17)."""
    count = len(problem.clients)
    dispersion_c = rng.choice([0.3, 1.0, 4.0, 60.0], count)
    together = float(rng.choice([0.0, 0.5, 1.0]))
    return problem.changed(dispersion_c=dispersion_c, burst_correlation=together)


def _alike(problem: Problem, rng: Generator) -> Problem:
    """Models that cannot be told apart, so that optima are many."""
    return problem.changed(
        accuracy_mt=np.where(problem.accuracy_mt > 0, 0.7, 0.0),
        client_model_bytes_cm=np.ones_like(problem.client_model_bytes_cm),
        edge_model_bytes_em=np.ones_like(problem.edge_model_bytes_em),
    )


def _unfit(problem: Problem, rng: Generator) -> Problem:
    """Nodes without memory or compute, and models that do not run on some of them."""

    def some(values: np.ndarray) -> np.ndarray:
        return np.where(rng.random(values.shape) < 0.3, 0.0, values)

    bytes_cm, bytes_em = problem.client_model_bytes_cm, problem.edge_model_bytes_em
    return problem.changed(
        client_memory_c=some(problem.client_memory_c), edge_memory_e=some(problem.edge_memory_e),
        client_compute_c=some(problem.client_compute_c),
        edge_compute_e=some(problem.edge_compute_e),
        client_model_bytes_cm=np.where(rng.random(bytes_cm.shape) < 0.3, np.inf, bytes_cm),
        edge_model_bytes_em=np.where(rng.random(bytes_em.shape) < 0.3, np.inf, bytes_em),
    )  # fmt: skip


ADVERSE: dict[str, Callable[[Problem, Generator], Problem]] = {
    "exact memory": _exact_memory,
    "exact window": _exact_window,
    "free queries": _free_queries,
    "zero bytes": _zero_bytes,
    "nine decades": _nine_decades,
    "tiny load": _tiny_load,
    "heavy load": _heavy_load,
    "real bytes": _real_bytes,
    "small batches": _small_batches,
    "deadlines": _deadlines,
    "several edges": _several_edges,
    "scarce cloud": _scarce_cloud,
    "bursts": _bursts,
    "alike": _alike,
    "unfit": _unfit,
}
"""By name: what it does to a problem; the problem's size stays."""
