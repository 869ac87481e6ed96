"""Which answers of an edge come later than 2 T_b, counted in a simulation of its windows (F9).

What arrives in one window runs when that has closed, as `serving.node.device.batching` has it: a
batch of each model in the order of its first query, more where a model has more than B_e queries,
one after another. What a window does not get done is carried over into the next. Nothing is
refused: a running edge refuses what would be late, so this is what a plan alone promises.

Example: T_b = 1 s, a batch of one takes 0.7 s. Queries of two models at 0.1 and 0.2 s run from 1 s
on and are done at 1.7 and 2.4 s: the second is late, by 0.2 s.

Axes: n query, g model and window, b batch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.batch_work import work_of_counts
from planner.fits import room
from planner.latency_bound import window_bound_s
from planner.problem import FloatArray, Problem

__all__ = ["answered_s", "is_late"]


def answered_s(
    problem: Problem, edge: int, arrived_s_n: FloatArray, model_n: NDArray[np.int64]
) -> FloatArray:
    """When (n) the queries are answered that arrive at `edge` at `arrived_s_n`, which never falls,
    for the models `model_n`.

    The edge computes for beta_e seconds of every second; a batch takes nu + c times its size, or
    what was measured (F15).
    """
    if not len(arrived_s_n):
        return np.zeros(0)
    window_s, models = float(problem.window_e[edge]), len(problem.models)
    window_n = np.floor(arrived_s_n / window_s).astype(np.int64)
    _, first_g, group_n = np.unique(window_n * models + model_n, return_index=True,
                                    return_inverse=True)  # fmt: skip
    turn_n = first_g[group_n]  # what runs in the same batches, in the order in which it runs
    order = np.argsort(turn_n, kind="stable")
    begins = np.append(True, np.diff(turn_n[order]) > 0)
    starts = np.flatnonzero(begins)
    place = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    begins |= place % problem.edge_max_batch_e[edge] == 0
    batch = np.cumsum(begins) - 1
    head_b = order[begins]
    size_b = np.bincount(batch)
    work_mk = work_of_counts(problem, edge, np.arange(models), np.arange(int(size_b.max()) + 1))
    work_s_b = work_mk[model_n[head_b], size_b]
    passed_s_b = np.cumsum(work_s_b / problem.edge_compute_e[edge])
    closed_s_b = (window_n[head_b] + 1) * window_s
    # A batch begins when its window has closed and the batch before it is done.
    idle_s_b = np.maximum.accumulate(closed_s_b - np.append(0.0, passed_s_b[:-1]))
    done_s_n = np.empty(len(order))
    done_s_n[order] = (passed_s_b + idle_s_b)[batch]
    return done_s_n


def is_late(
    problem: Problem, edge: int, arrived_s_n: FloatArray, model_n: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether (n) each of these answers comes later than 2 T_b after its query."""
    bound_s = room(window_bound_s(float(problem.window_e[edge])))
    return np.asarray(answered_s(problem, edge, arrived_s_n, model_n) - arrived_s_n > bound_s)
