"""Onloading: which models a node should hold, a submodular cover under a memory knapsack.

Axis letters: n node, q weighted group of queries (a task, or a client's task), m model.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.fits import room
from planner.problem import FloatArray

__all__ = ["cover_value", "greedy_cover", "greedy_cover_nodes"]

BoolArray = NDArray[np.bool_]


def cover_value(
    value_qm: FloatArray, base_q: FloatArray, chosen_m: BoolArray, fixed_m: FloatArray
) -> float:
    """f(S) = sum_q (max(base_q, max_{m in S} value_qm) - base_q) - sum_{m in S} fixed_m."""
    best_q = np.maximum(base_q, value_qm[:, chosen_m].max(axis=1, initial=0.0))
    return float((best_q - base_q).sum() - fixed_m[chosen_m].sum())


def greedy_cover(
    value_qm: FloatArray,
    base_q: FloatArray,
    bytes_m: FloatArray,
    memory: float,
    fixed_m: FloatArray | None = None,
) -> BoolArray:
    """Cost-benefit greedy for one node, compared with the best single model.

    Takes the model with the most gain per byte until none that fits gains; without fixed costs
    f is monotone submodular and the better of the two is within (1 - 1/sqrt(e)) of the optimum.
    """
    fixed_m = np.zeros(len(bytes_m)) if fixed_m is None else fixed_m
    chosen_m = np.zeros(len(bytes_m), dtype=bool)
    memory = room(memory)
    best_q, left = base_q.copy(), memory
    size_m = np.maximum(bytes_m, 1.0)
    gain_m = np.maximum(value_qm - best_q[:, None], 0.0).sum(axis=0) - fixed_m
    single_m = np.where(bytes_m <= memory, gain_m, -np.inf)
    while True:
        open_m = (bytes_m <= left) & ~chosen_m & (gain_m > 1e-12)
        if not open_m.any():
            break
        m = int(np.argmax(np.where(open_m, gain_m / size_m, -np.inf)))
        chosen_m[m] = True
        left -= bytes_m[m]
        best_q = np.maximum(best_q, value_qm[:, m])
        gain_m = np.maximum(value_qm - best_q[:, None], 0.0).sum(axis=0) - fixed_m
    if single_m.max(initial=0.0) > cover_value(value_qm, base_q, chosen_m, fixed_m):
        chosen_m = np.zeros(len(bytes_m), dtype=bool)
        chosen_m[int(np.argmax(single_m))] = True
    return chosen_m


def greedy_cover_nodes(
    value_nqm: FloatArray, base_nq: FloatArray, bytes_nm: FloatArray, memory_n: FloatArray
) -> BoolArray:
    """`greedy_cover` for many nodes at once (no fixed costs), one array step per model taken."""
    N, _, M = value_nqm.shape
    chosen_nm = np.zeros((N, M), dtype=bool)
    memory_n = room(memory_n)
    best_nq, left_n = base_nq.copy(), memory_n.copy()
    size_nm = np.maximum(bytes_nm, 1.0)
    gain_nm = np.maximum(value_nqm - best_nq[:, :, None], 0.0).sum(axis=1)
    single_nm = np.where(bytes_nm <= memory_n[:, None], gain_nm, 0.0)
    active_n = np.arange(N)
    while len(active_n):
        gain = gain_nm[active_n]
        fits = bytes_nm[active_n] <= left_n[active_n, None]
        density = np.where(fits & ~chosen_nm[active_n] & (gain > 1e-12), gain, 0.0)
        density = density / size_nm[active_n]
        m = density.argmax(axis=1)
        going = density[np.arange(len(active_n)), m] > 0
        active_n, m = active_n[going], m[going]
        chosen_nm[active_n, m] = True
        left_n[active_n] -= bytes_nm[active_n, m]
        best_nq[active_n] = np.maximum(best_nq[active_n], value_nqm[active_n, :, m])
        gain_nm[active_n] = np.maximum(
            value_nqm[active_n] - best_nq[active_n][:, :, None], 0.0
        ).sum(axis=1)
    single = single_nm.argmax(axis=1)
    better_n = single_nm[np.arange(N), single] > (best_nq - base_nq).sum(axis=1)
    chosen_nm[better_n] = False
    chosen_nm[np.flatnonzero(better_n), single[better_n]] = True
    return chosen_nm
