"""Which model set of the edge may still be the best: the one with the highest bound over all cuts.

Every price vector k that was ever tried bounds the value of *every* model set A of the edge. With
C_k the clients' part at those prices and eta a price of work, no plan whose edge holds A is worth
more than

    base_k - sum_{m in A} cost_km + sum_t max(0, max_{m in A} gain_kmt),

    base_k = C_k + eta window,  cost_km = eta fixed_m,
    gain_kmt = cap_t max(0, accuracy_mt - rho_kt - eta work_m)

(E_A of `edge_kernel` at one eta instead of the best). The highest of min_k of these over all A
that fit (F4, F9) bounds the edge, and the A that reaches it is the one to look at next
(docs/formulation.md, "Decomposition", *Edge*).

Axis suffixes: k cut, t task, m model, d depth of the search.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from planner.decomposition.compiled import compiled
from planner.problem import FloatArray

__all__ = ["EdgeBudgets", "LinearCuts", "select_set"]

NOTHING_TRIED, WITH_IT, WITHOUT_IT = 0, 1, 2
"""What has been tried of the model at a depth of the search."""


class LinearCuts(NamedTuple):
    """Bounds on the value of every model set, right answers/s; see the module's text."""

    base_k: FloatArray
    gain_kmt: FloatArray
    cost_km: FloatArray


class EdgeBudgets(NamedTuple):
    """What the models of a set take together, and how much there is of it."""

    bytes_m: FloatArray
    memory: float
    """Bytes (F4)."""
    fixed_m: FloatArray
    """Seconds of work per window of a model in use (F9)."""
    window: float
    """Seconds of work that a window may hold (F9)."""


@compiled
def select_set(
    cuts: LinearCuts, budgets: EdgeBudgets, threshold: float, node_limit: int
) -> tuple[float, NDArray[np.bool_], int]:
    """The set with the highest bound, if that is above `threshold`: (bound, chosen_m, nodes).

    (threshold, no model, nodes) where no set has a bound above `threshold`;
    (inf, no model, -1) when `node_limit` nodes were not enough: still a bound.

    Algorithm: branch and bound, depth-first in the order of the models (dense ones first searches
    fastest), with and then without each. A branch is left when one cut bounds all its sets by what
    is already found. Exact, because a branch's bound is: the cover sum_t max gain is submodular,
    so a model adds to a larger set at most what it adds to the branch's own, and the most that such
    additions reach under the memory is at most the fractional knapsack's. Time: O(2^M) nodes at
    worst, O(K M (M + T)) each.
    """
    K, M, T = cuts.gain_kmt.shape
    gain_kmt, cost_km = cuts.gain_kmt, cuts.cost_km
    bytes_m, fixed_m = budgets.bytes_m, budgets.fixed_m
    best_value, chosen_m = threshold, np.zeros(M, np.bool_)
    # By depth d: what was tried of model d, and before it is decided the room that is left, the
    # best gain of each task by the models chosen so far, and the sum of their costs.
    tried_d = np.zeros(M + 1, np.int64)
    memory_left_d, window_left_d = np.empty(M + 1), np.empty(M + 1)
    covered_dkt, spent_dk = np.zeros((M + 1, K, T)), np.zeros((M + 1, K))
    memory_left_d[0], window_left_d[0] = budgets.memory, budgets.window
    value_k = np.empty(K)
    item_jx = np.empty((M, 3))
    first_cut = 0  # the cut that excluded the last branch often excludes the next
    nodes = 0
    depth, new = 0, True
    while depth >= 0:
        if new:
            new = False
            nodes += 1
            tried_d[depth] = NOTHING_TRIED
            value = np.inf
            for k in range(K):
                value_k[k] = cuts.base_k[k] - spent_dk[depth, k]
                for t in range(T):
                    value_k[k] += covered_dkt[depth, k, t]
                value = min(value, value_k[k])
            if value > best_value:
                best_value = value
                for m in range(M):
                    chosen_m[m] = m < depth and tried_d[m] == WITH_IT
            here = LinearCuts(value_k, gain_kmt, cost_km)
            left = EdgeBudgets(bytes_m, memory_left_d[depth], fixed_m, window_left_d[depth])
            # Where no model is left to add (depth M), the branch's own lowest cut excludes it.
            excluded_by = _excluding_cut(
                here, covered_dkt[depth], depth, left, best_value, first_cut, item_jx
            )
            if excluded_by >= 0:
                tried_d[depth] = WITHOUT_IT
                first_cut = excluded_by
            elif nodes > node_limit:
                return np.inf, np.zeros(M, np.bool_), -1
        if tried_d[depth] == NOTHING_TRIED:
            tried_d[depth] = WITH_IT
            if bytes_m[depth] <= memory_left_d[depth] and fixed_m[depth] <= window_left_d[depth]:
                memory_left_d[depth + 1] = memory_left_d[depth] - bytes_m[depth]
                window_left_d[depth + 1] = window_left_d[depth] - fixed_m[depth]
                for k in range(K):
                    spent_dk[depth + 1, k] = spent_dk[depth, k] + cost_km[k, depth]
                    for t in range(T):
                        gain = max(covered_dkt[depth, k, t], gain_kmt[k, depth, t])
                        covered_dkt[depth + 1, k, t] = gain
                depth, new = depth + 1, True
                continue
        if tried_d[depth] == WITH_IT:
            tried_d[depth] = WITHOUT_IT
            memory_left_d[depth + 1] = memory_left_d[depth]
            window_left_d[depth + 1] = window_left_d[depth]
            for k in range(K):
                spent_dk[depth + 1, k] = spent_dk[depth, k]
                for t in range(T):
                    covered_dkt[depth + 1, k, t] = covered_dkt[depth, k, t]
            depth, new = depth + 1, True
            continue
        depth -= 1
    return best_value, chosen_m, nodes


@compiled
def _excluding_cut(
    here: LinearCuts, covered_kt: FloatArray, first_m: int, left: EdgeBudgets, best_value: float,
    first_cut: int, item_jx: FloatArray,
) -> int:  # fmt: skip
    """A cut by which no set of this branch is worth more than `best_value`; -1 if there is none.

    The branch has chosen among the models before `first_m`; `here.base_k` is what the cuts say of
    that choice alone, `covered_kt` its best gains, and `left` has the room that is left for more.
    A cut's bound is its base and the fractional knapsack of what each further model adds to the
    choice. `first_cut` is looked at first; `item_jx` is room for the items of a knapsack (gain per
    byte, gain, bytes). O(K M (M + T)).
    """
    gain_kmt, cost_km = here.gain_kmt, here.cost_km
    bytes_m, fixed_m = left.bytes_m, left.fixed_m
    K, M, T = gain_kmt.shape
    for trial in range(K):
        k: int = (first_cut + trial) % K
        count = 0
        for m in range(first_m, M):
            if bytes_m[m] > left.memory or fixed_m[m] > left.window:
                continue
            gain = -cost_km[k, m]
            for t in range(T):
                gain += max(gain_kmt[k, m, t] - covered_kt[k, t], 0.0)
            if gain <= 0:
                continue
            # Insertion sort by gain per byte: the models come nearly in that order.
            density = gain / max(bytes_m[m], 1e-300)
            j = count
            while j > 0 and item_jx[j - 1, 0] < density:
                for x in range(3):
                    item_jx[j, x] = item_jx[j - 1, x]
                j -= 1
            item_jx[j, 0], item_jx[j, 1], item_jx[j, 2] = density, gain, bytes_m[m]
            count += 1
        bound, room = here.base_k[k], left.memory
        for j in range(count):
            if item_jx[j, 2] > room:
                bound += item_jx[j, 0] * room
                break
            bound += item_jx[j, 1]
            room -= item_jx[j, 2]
        if bound <= best_value:
            return k
    return -1
