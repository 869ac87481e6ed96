"""Refuges: models on a client that answer what finds its link full (spill-over).

A plan that sends everything up its links may leave a client empty: the links carry the mean. In a
burst they are full, and a client that holds a small model answers with it instead of refusing. So
memory that a plan leaves free is given to the models that are worth most in that case.

Axis letters: c client, e edge, a attachment, t task, m model, n node.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.allocation import Allocation
from planner.attachments import by_client
from planner.fits import room
from planner.onloading import greedy_cover
from planner.paths import cloud_open_at, edge_open_at, local_open_cmt
from planner.problem import FloatArray, Problem

__all__ = ["keep_held", "refuge_accuracy_c", "way_accuracy_c", "with_refuges"]

BoolArray = NDArray[np.bool_]


def way_accuracy_c(problem: Problem) -> FloatArray:
    """Accuracy that each client's queries may find beyond its links, averaged over its load: the
    best model that fits an edge it reaches, or the cloud's."""
    fits_em = problem.edge_model_bytes_em <= room(problem.edge_memory_e)[:, None]
    edge_et = np.where(fits_em[:, :, None], problem.accuracy_mt, 0.0).max(axis=1)
    edge_at = np.where(edge_open_at(problem), edge_et[problem.edge_of_a], 0.0)
    way_at = np.maximum(edge_at, np.where(cloud_open_at(problem), problem.cloud_accuracy_t, 0.0))
    best_ct = np.zeros(problem.load_ct.shape)
    np.maximum.at(best_ct, problem.client_of_a, way_at)
    return _mean_over_load(problem, best_ct)


def refuge_accuracy_c(problem: Problem) -> FloatArray:
    """Accuracy that each client can give at home, averaged over its load, with the models that are
    best for it under its memory (greedy cover)."""
    best_ct = np.zeros(problem.load_ct.shape)
    for c in range(len(problem.clients)):
        accuracy_tm = _local_accuracy_tm(problem, c)
        held_m = greedy_cover(
            problem.load_ct[c][:, None] * accuracy_tm, np.zeros(len(problem.tasks)),
            problem.client_model_bytes_cm[c], float(problem.client_memory_c[c]),
        )  # fmt: skip
        best_ct[c] = accuracy_tm[:, held_m].max(axis=1, initial=0.0)
    return _mean_over_load(problem, best_ct)


def with_refuges(problem: Problem, allocation: Allocation, overflow_c: FloatArray) -> Allocation:
    """`allocation` with more models on its clients, in memory that it leaves free.

    `overflow_c` is the share of what a client sends up that finds its link full. A model is worth
    the accuracy it adds for those queries over the best that the client holds; where loading costs
    something (F16), a model comes only if it is worth that.
    """
    onloaded_cm = allocation.onloaded_cm.copy()
    sent_at = allocation.edge_atm.sum(axis=2) + allocation.cloud_at
    spilled_ct = problem.load_ct * by_client(problem, sent_at) * overflow_c[:, None]
    for c in np.flatnonzero(spilled_ct.any(axis=1)):
        accuracy_tm = _local_accuracy_tm(problem, int(c))
        held_m = onloaded_cm[c]
        bytes_m = problem.client_model_bytes_cm[c]
        own_t = accuracy_tm[:, held_m].max(axis=1, initial=0.0)
        onloaded_cm[c] |= greedy_cover(
            spilled_ct[c][:, None] * accuracy_tm, spilled_ct[c] * own_t,
            np.where(held_m, np.inf, bytes_m),
            float(problem.client_memory_c[c] - bytes_m[held_m].sum()),
            problem.client_moving_cm[c],
        )  # fmt: skip
    return replace(allocation, onloaded_cm=onloaded_cm)


def keep_held(problem: Problem, allocation: Allocation, held: Allocation) -> Allocation:
    """`allocation` with the models of `held` that it does not use, as long as they fit: unloading
    them gains nothing, and they would cost a load if they were wanted again (F16)."""
    load_t = problem.load_ct.sum(axis=0)
    order = np.argsort(-(problem.accuracy_mt @ load_t), kind="stable")

    def filled(
        now_nm: BoolArray, held_nm: BoolArray, bytes_nm: FloatArray, memory_n: FloatArray
    ) -> BoolArray:
        now_nm = now_nm.copy()
        free_n = room(memory_n) - np.where(now_nm, bytes_nm, 0.0).sum(axis=1)
        for m in order:
            fits_n = held_nm[:, m] & ~now_nm[:, m] & (bytes_nm[:, m] <= free_n)
            now_nm[fits_n, m] = True
            free_n[fits_n] -= bytes_nm[fits_n, m]
        return now_nm

    return replace(
        allocation,
        onloaded_cm=filled(
            allocation.onloaded_cm, held.onloaded_cm,
            problem.client_model_bytes_cm, problem.client_memory_c,
        ),
        onloaded_em=filled(
            allocation.onloaded_em, held.onloaded_em,
            problem.edge_model_bytes_em, problem.edge_memory_e,
        ),
    )  # fmt: skip


def _local_accuracy_tm(problem: Problem, c: int) -> FloatArray:
    """What each model answers in time at client c."""
    in_time_mt = local_open_cmt(problem)[c]
    return np.where(in_time_mt, problem.accuracy_mt, 0.0).T


def _mean_over_load(problem: Problem, value_ct: FloatArray) -> FloatArray:
    load_c = problem.load_ct.sum(axis=1)
    total_c = (problem.load_ct * value_ct).sum(axis=1)
    mean_c = np.divide(total_c, load_c, out=np.zeros_like(total_c), where=load_c > 0)
    return np.asarray(mean_c)
