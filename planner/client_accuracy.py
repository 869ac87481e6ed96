"""F19: what a plan is worth where clients, rather than queries, are to be treated alike.

The accuracy of a client is the share of its own queries that are answered rightly. F1 is the mean
of these weighted by load, so a plan for F1 may leave a small client with nothing. Two other
measures:

    least           min_i accuracy_i
    proportional    (prod_i accuracy_i) ^ (1 / n), the geometric mean: its logarithm is
                    (1 / n) sum_i log accuracy_i, in which every client weighs the same

Example: two clients of 10 queries/s and an edge that answers 10 of them at 0.8. F1 is 0.4 however
they are shared; least and proportional are 0.4 if each has half, and 0 if one has all.

Axis letters: c client, e edge, a attachment, t task, m model.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from planner.fits import room
from planner.paths import cloud_open_at, edge_open_at, local_open_cmt
from planner.problem import FloatArray, Problem

__all__ = ["Objective", "answerable_c", "least_of", "proportional_of"]

BoolArray = NDArray[np.bool_]
Objective = Literal["mean", "least", "proportional"]
"""What a plan maximises: F1, or one of the two of F19."""


def least_of(accuracy_c: FloatArray, counted_c: BoolArray) -> float:
    """The least accuracy of the clients that count; 0 where none does."""
    return float(accuracy_c[counted_c].min()) if counted_c.any() else 0.0


def proportional_of(accuracy_c: FloatArray, counted_c: BoolArray) -> float:
    """Geometric mean of the accuracy of the clients that count; 0 where none does."""
    if not counted_c.any() or not np.all(accuracy_c[counted_c] > 0):
        return 0.0
    return float(np.exp(np.log(accuracy_c[counted_c]).mean()))


def answerable_c(problem: Problem) -> BoolArray:
    """Clients that count (F19): they ask something that a model within reach may answer.

    A client without load has no accuracy. One whose queries no plan can answer would make the
    least accuracy 0 for every plan, so that nothing would be planned for the others.
    """
    p = problem
    asks_ct = p.load_ct > 0
    serves_mt = np.asarray(p.accuracy_mt > 0)
    fits_cm = np.asarray(p.client_model_bytes_cm <= room(p.client_memory_c)[:, None])
    fits_cm &= (p.client_compute_c > 0)[:, None]
    local_ct = (fits_cm[:, :, None] & local_open_cmt(p) & serves_mt).any(axis=1)
    fits_em = np.asarray(p.edge_model_bytes_em <= room(p.edge_memory_e)[:, None])
    fits_em &= (p.edge_compute_e > 0)[:, None]
    edge_et = np.asarray((fits_em[:, :, None] & serves_mt).any(axis=1))
    away_at = edge_et[p.edge_of_a] & edge_open_at(p)
    if p.cloud_compute > 0:
        away_at |= (p.cloud_accuracy_t > 0) & cloud_open_at(p)
    away_ct = np.zeros(asks_ct.shape, dtype=bool)
    np.logical_or.at(away_ct, p.client_of_a, away_at)
    return np.asarray((asks_ct & (local_ct | away_ct)).any(axis=1))
