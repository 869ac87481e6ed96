"""Which model sets of the edges may still be the best: those with the highest bound over all cuts.

Every price vector k that was ever tried bounds the value of *every* choice A of models at edges.
With C_k the clients' part at those prices and eta_e prices of work, no plan whose edges hold A is
worth more than

    base_k - sum_{j in A} cost_kj + sum_et max(0, max_{j in A at e} gain_kjt),

    base_k = C_k + sum_e eta_e window_e,  cost_kj = eta_e fixed_j,
    gain_kjt = cap_et max(0, accuracy_jt - rho_ket - eta_e work_j)

(E_A of `edge_kernel` at one eta instead of the best). The highest of min_k of these over all A
that fit (F4, F9) bounds the component, and the A that reaches it is the one to look at next
(docs/formulation.md, "Decomposition", *Edge*).

Axis suffixes: k cut, e edge, j model at an edge, t task, x edge and task (e T + t), d depth of the
search.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from planner.decomposition.compiled import compiled
from planner.problem import FloatArray

__all__ = ["OUT_OF_NODES", "STOPPED_EARLY", "EdgeBudgets", "LinearCuts", "select_set"]

OUT_OF_NODES, STOPPED_EARLY = -1, -2
"""instead of the number of nodes, of a search that did not end by itself"""
NOTHING_TRIED, WITH_IT, WITHOUT_IT = 0, 1, 2
"""What has been tried of the model at a depth of the search."""


class LinearCuts(NamedTuple):
    """Bounds on the value of every choice of models, right answers/s; see the module's text."""

    base_k: FloatArray
    gain_kjt: FloatArray
    cost_kj: FloatArray


class EdgeBudgets(NamedTuple):
    """What the models of a set take together, and how much there is of it at each edge."""

    edge_j: NDArray[np.int64]
    """Which edge would hold it."""
    bytes_j: FloatArray
    memory_e: FloatArray
    """Bytes (F4)."""
    fixed_j: FloatArray
    """Seconds of work per window of a model in use (F9)."""
    window_e: FloatArray
    """Seconds of work that a window may hold (F9)."""


@compiled
def select_set(
    cuts: LinearCuts, budgets: EdgeBudgets, threshold: float, node_limit: int, enough: int
) -> tuple[float, NDArray[np.bool_], int]:
    """The choice with the highest bound, if that is above `threshold`: (bound, chosen_j, nodes).

    (threshold, no model, nodes) where no choice has a bound above `threshold`;
    (inf, no model, OUT_OF_NODES) when `node_limit` nodes were not enough: still a bound. After
    `enough` nodes the best choice above `threshold` that was found by then, if any: (its bound,
    chosen_j, STOPPED_EARLY), which is no bound on the others.

    Algorithm: branch and bound, depth-first in the order of the models (dense ones first searches
    fastest), with and then without each. A branch is left when one cut bounds all its sets by what
    is already found. Exact, because a branch's bound is: the cover sum_x max gain is submodular,
    so a model adds to a larger set at most what it adds to the branch's own, and the most that such
    additions reach under the memories is at most the fractional knapsacks'. Time: O(2^J) nodes at
    worst, O(K J (J + T)) each.
    """
    K, J, T = cuts.gain_kjt.shape
    E = len(budgets.memory_e)
    gain_kjt, cost_kj = cuts.gain_kjt, cuts.cost_kj
    edge_j, bytes_j, fixed_j = budgets.edge_j, budgets.bytes_j, budgets.fixed_j
    best_value, chosen_j = threshold, np.zeros(J, np.bool_)
    # By depth d: what was tried of model d, and before it is decided the room that is left, the
    # best gain of each task by the models chosen so far, and the sum of their costs.
    tried_d = np.zeros(J + 1, np.int64)
    memory_left_de, window_left_de = np.empty((J + 1, E)), np.empty((J + 1, E))
    covered_dkx, spent_dk = np.zeros((J + 1, K, E * T)), np.zeros((J + 1, K))
    for e in range(E):
        memory_left_de[0, e], window_left_de[0, e] = budgets.memory_e[e], budgets.window_e[e]
    value_k = np.empty(K)
    item_iz, item_e = np.empty((J, 3)), np.empty(J, np.int64)
    room_e = np.empty(E)
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
                for x in range(E * T):
                    value_k[k] += covered_dkx[depth, k, x]
                value = min(value, value_k[k])
            if value > best_value:
                best_value = value
                for j in range(J):
                    chosen_j[j] = j < depth and tried_d[j] == WITH_IT
            here = LinearCuts(value_k, gain_kjt, cost_kj)
            left = EdgeBudgets(
                edge_j, bytes_j, memory_left_de[depth], fixed_j, window_left_de[depth]
            )
            # Where no model is left to add (depth J), the branch's own lowest cut excludes it.
            excluded_by = _excluding_cut(
                here, covered_dkx[depth], depth, left, best_value, first_cut, item_iz, item_e,
                room_e,
            )  # fmt: skip
            if excluded_by >= 0:
                tried_d[depth] = WITHOUT_IT
                first_cut = excluded_by
            elif nodes > node_limit:
                return np.inf, np.zeros(J, np.bool_), OUT_OF_NODES
            if nodes >= enough and best_value > threshold:
                return best_value, chosen_j, STOPPED_EARLY
        if tried_d[depth] == NOTHING_TRIED:
            tried_d[depth] = WITH_IT
            own = edge_j[depth]
            fits = bytes_j[depth] <= memory_left_de[depth, own]
            if fits and fixed_j[depth] <= window_left_de[depth, own]:
                for e in range(E):
                    memory_left_de[depth + 1, e] = memory_left_de[depth, e]
                    window_left_de[depth + 1, e] = window_left_de[depth, e]
                memory_left_de[depth + 1, own] -= bytes_j[depth]
                window_left_de[depth + 1, own] -= fixed_j[depth]
                for k in range(K):
                    spent_dk[depth + 1, k] = spent_dk[depth, k] + cost_kj[k, depth]
                    for x in range(E * T):
                        covered_dkx[depth + 1, k, x] = covered_dkx[depth, k, x]
                    for t in range(T):
                        gain = max(covered_dkx[depth, k, own * T + t], gain_kjt[k, depth, t])
                        covered_dkx[depth + 1, k, own * T + t] = gain
                depth, new = depth + 1, True
                continue
        if tried_d[depth] == WITH_IT:
            tried_d[depth] = WITHOUT_IT
            for e in range(E):
                memory_left_de[depth + 1, e] = memory_left_de[depth, e]
                window_left_de[depth + 1, e] = window_left_de[depth, e]
            for k in range(K):
                spent_dk[depth + 1, k] = spent_dk[depth, k]
                for x in range(E * T):
                    covered_dkx[depth + 1, k, x] = covered_dkx[depth, k, x]
            depth, new = depth + 1, True
            continue
        depth -= 1
    return best_value, chosen_j, nodes


@compiled
def _excluding_cut(
    here: LinearCuts, covered_kx: FloatArray, first_j: int, left: EdgeBudgets, best_value: float,
    first_cut: int, item_iz: FloatArray, item_e: NDArray[np.int64], room_e: FloatArray,
) -> int:  # fmt: skip
    """A cut by which no set of this branch is worth more than `best_value`; -1 if there is none.

    The branch has chosen among the models before `first_j`; `here.base_k` is what the cuts say of
    that choice alone, `covered_kx` its best gains, and `left` has the room that is left for more.
    A cut's bound is its base and, edge by edge, the fractional knapsack of what each further model
    adds to the choice. `first_cut` is looked at first; `item_iz` (gain per byte, gain, bytes),
    `item_e` and `room_e` are room for the items of the knapsacks and what is left of their
    memories. O(K J (J + T)).
    """
    gain_kjt, cost_kj = here.gain_kjt, here.cost_kj
    edge_j, bytes_j, fixed_j = left.edge_j, left.bytes_j, left.fixed_j
    K, J, T = gain_kjt.shape
    for trial in range(K):
        k: int = (first_cut + trial) % K
        count = 0
        for j in range(first_j, J):
            own = edge_j[j]
            if bytes_j[j] > left.memory_e[own] or fixed_j[j] > left.window_e[own]:
                continue
            gain = -cost_kj[k, j]
            for t in range(T):
                gain += max(gain_kjt[k, j, t] - covered_kx[k, own * T + t], 0.0)
            if gain <= 0:
                continue
            # Insertion sort by gain per byte: the models come nearly in that order.
            density = gain / max(bytes_j[j], 1e-300)
            i = count
            while i > 0 and item_iz[i - 1, 0] < density:
                for z in range(3):
                    item_iz[i, z] = item_iz[i - 1, z]
                item_e[i] = item_e[i - 1]
                i -= 1
            item_iz[i, 0], item_iz[i, 1], item_iz[i, 2] = density, gain, bytes_j[j]
            item_e[i] = own
            count += 1
        bound = here.base_k[k]
        for e in range(len(room_e)):
            room_e[e] = left.memory_e[e]
        for i in range(count):
            room = room_e[item_e[i]]
            if item_iz[i, 2] > room:
                bound += item_iz[i, 0] * room
                room_e[item_e[i]] = 0.0
            else:
                bound += item_iz[i, 1]
                room_e[item_e[i]] = room - item_iz[i, 2]
            if bound > best_value:
                break
        if bound <= best_value:
            return k
    return -1
