"""`ipa-like`: one variant a task and a price on every replica, by integer programs.

After IPA (Ghafouri et al., Journal of Systems Research 2024), by its paper's text: docs/rivals.md
says what was taken and what was left out. Axis letters: c client, e edge, n node, t task, m model,
v variable (s, z of each pair of a task and a model that serves it), r row.
"""

from __future__ import annotations

import time

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from planner.attachments import by_edge
from planner.fits import room
from planner.options import Options
from planner.policies.certified import roughly_certified
from planner.policies.outcome import conclude_below_relaxation
from planner.policies.rivals.wants import one_variant_each, placeable_m, wanting
from planner.problem import FloatArray, Problem
from planner.solution import Solution
from planner.solvers import LinearProgram, solve_program

__all__ = ["ipa_like", "variants_by_program"]

PRICE = 0.1
"""What models that fill a node's memory must add to the accuracy of all that it is asked."""


def ipa_like(problem: Problem, options: Options) -> Solution:
    """Accuracy less `PRICE` times resources: first the variants, then the nodes that hold them."""
    begun_s = time.perf_counter()
    kept_mt = one_variant_each(problem, variants_by_program(problem, options))
    chosen = wanting(problem, problem.accuracy_mt * kept_mt, problem.cloud_accuracy_t)
    client_price_cm, edge_price_em = _prices(problem)
    priced = chosen.changed(
        client_moving_cm=problem.client_moving_cm + client_price_cm,
        edge_moving_em=problem.edge_moving_em + edge_price_em,
    )
    found = roughly_certified(priced, options)
    return conclude_below_relaxation(
        problem, options, "ipa-like", found.allocation, [found], begun_s=begun_s
    )


def _prices(problem: Problem) -> tuple[FloatArray, FloatArray]:
    """Right answers/s that a replica costs at each client and edge: `PRICE` x the queries/s that
    may be asked there x its share of the node's memory; 0 where it does not fit anyway."""

    def price(load_n: FloatArray, bytes_nm: FloatArray, memory_n: FloatArray) -> FloatArray:
        fits_nm = (bytes_nm <= room(memory_n)[:, None]) & (memory_n > 0)[:, None]
        size_nm = np.where(fits_nm, bytes_nm, 0.0)
        return PRICE * load_n[:, None] * size_nm / np.where(memory_n > 0, memory_n, 1.0)[:, None]

    load_c = problem.load_ct.sum(axis=1)
    load_e = by_edge(problem, load_c[problem.client_of_a])
    return (
        price(load_c, problem.client_model_bytes_cm, problem.client_memory_c),
        price(load_e, problem.edge_model_bytes_em, problem.edge_memory_e),
    )


def variants_by_program(problem: Problem, options: Options) -> NDArray[np.int64]:
    """The one variant of each task (-1: none), with clients and edges taken for one pool of time.

    maximise sum_tm L_t a_mt s_tm - (price of m on every node it fits) z_tm, subject to
    sum_m z_tm <= 1, s_tm <= z_tm, sum_tm L_t s_tm c_m <= the busy seconds of all nodes, z whole;
    s_tm is the share of task t that its variant m answers, c_m the mean seconds of a query.
    """
    served_mt = (problem.accuracy_mt > 0) & placeable_m(problem)[:, None]
    t, m = np.nonzero(served_mt.T)
    T, K = len(problem.tasks), len(t)
    variant_t = np.full(T, -1, dtype=np.int64)
    load_t = problem.load_ct.sum(axis=0)
    if K == 0 or load_t.sum() <= 0:
        return variant_t
    price_m = np.vstack(_prices(problem)).sum(axis=0)
    seconds_m = np.vstack([
        problem.client_setup_cm + problem.client_marginal_cm,
        problem.edge_marginal_em,  # set-ups are shared by a batch
    ]).mean(axis=0)  # fmt: skip
    pool = options.fill * float(problem.client_compute_c.sum() + problem.edge_compute_e.sum())
    pair = np.arange(K)
    matrix = sp.vstack([
        sp.hstack([sp.csr_matrix((T, K)), sp.csr_matrix((np.ones(K), (t, pair)), shape=(T, K))]),
        sp.hstack([sp.eye(K), -sp.eye(K)]),
        sp.csr_matrix(np.concatenate([load_t[t] * seconds_m[m], np.zeros(K)])),
    ]).tocsc()  # fmt: skip
    program = LinearProgram(
        objective_v=np.concatenate([load_t[t] * problem.accuracy_mt[m, t], -price_m[m]]),
        upper_v=np.ones(2 * K),
        integer_v=np.repeat([False, True], K),
        matrix=matrix,
        rhs_r=np.concatenate([np.ones(T), np.zeros(K), [pool]]),
        row_scale_r=np.ones(T + K + 1),
    )
    found = solve_program(program, options.limits(), "highs")
    if found.x_v is not None:
        picked = found.x_v[K:] > 0.5
        variant_t[t[picked]] = m[picked]
    return variant_t
