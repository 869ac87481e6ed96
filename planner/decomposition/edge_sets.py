"""Which model sets of the edges may still be the best: those with the highest bound over all cuts.

Every price vector k that was ever tried bounds the value of *every* choice A of models at edges.
With C_k the clients' part at those prices and eta_e prices of work, no plan whose edges hold A is
worth more than

    base_k - sum_{j in A} cost_kj + sum_et max(0, max_{j in A at e} gain_kjt),

    base_k = C_k + sum_e eta_e window_e,  cost_kj = eta_e fixed_j,
    gain_kjt = cap_et max(0, accuracy_jt - rho_ket - eta_e work_j)

(E_A of `edge_kernel` at one eta instead of the best). The highest of min_k of these over all A
that fit (F4, F9) bounds the component, and the A that reaches it is the one to look at next
(docs/formulation.md, "Decomposition", *Edge*). A client's models are searched in the same way
(`set_search`).

Axis suffixes: k cut, e edge, j model at an edge, t task, x edge and task (e T + t), i place in a
list of models, d depth of the search.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from planner.decomposition.compiled import compiled
from planner.decomposition.levels import (
    EdgeBudgets,
    LinearCuts,
    Work,
    cover,
    lower_bound,
    mix,
    taken,
    value_of,
    with_room_for_mixes,
)
from planner.problem import FloatArray

__all__ = [
    "OUT_OF_NODES", "STEPS", "STOPPED_EARLY", "Tree", "new_tree", "open_bound", "select_set",
]  # fmt: skip

OUT_OF_NODES, STOPPED_EARLY = -1, -2
"""instead of the number of nodes, of a search that did not end by itself"""
NOTHING_TRIED, WITH_IT, WITHOUT_IT = 0, 1, 2
"""What has been tried of the model at a depth of the search."""
HELD, NOT_HELD, OPEN = 1, -1, 0
"""What a branch has decided on a model."""
STEPS, FIRST_STEPS = 4, 60
"""of the levels of a cut: at a branch, and before the first"""
MIXES, HALVINGS = 6, 3
"""of the cuts at a branch"""
LEAST_GAIN = 0.05
"""Mixing ends when it took less than this part of what is left to the target."""


class Tree(NamedTuple):
    """Where a search stands: by depth d the model decided there, what was tried of it, and a bound
    on the branch; what the branch has decided of each model; and the depth (-1: it has ended)."""

    item_d: NDArray[np.int64]
    tried_d: NDArray[np.int64]
    bound_d: FloatArray
    decided_j: NDArray[np.int64]
    place: NDArray[np.int64]
    """(depth, branches looked at so far)."""


@compiled
def new_tree(models: int, bound: float) -> Tree:
    """A search that is to begin; no choice is worth more than `bound`."""
    return Tree(
        np.zeros(models + 1, np.int64), np.zeros(models + 1, np.int64),
        np.full(models + 1, bound), np.zeros(models, np.int64), np.zeros(2, np.int64),
    )  # fmt: skip


@compiled
def open_bound(tree: Tree) -> float:
    """The highest bound of the branches that a search has not looked at; -inf if it has ended."""
    depth = tree.place[0]
    if depth < 0:
        return -np.inf
    bound: float = tree.bound_d[depth]
    for d in range(depth):
        if tree.tried_d[d] == WITH_IT:
            bound = max(bound, tree.bound_d[d])
    return bound


@compiled
def select_set(
    cuts: LinearCuts, budgets: EdgeBudgets, tree: Tree, threshold: float, node_limit: int,
    enough: int,
) -> tuple[float, NDArray[np.bool_], int]:  # fmt: skip
    """A choice with a bound above `threshold`, sought from where `tree` stands: (bound, chosen_j,
    nodes).

    With `enough` at 0 it is the highest, as far as mixes of cuts do not exclude it; otherwise the
    best that was found by so many nodes or a little later (STOPPED_EARLY): then `tree` stands where
    others may be, and a search with more cuts and a threshold no lower goes on from there.
    (threshold, no model, nodes) where none is left. If `node_limit` nodes were not enough: (a bound
    on all choices that are left, the best that was found, OUT_OF_NODES).

    Algorithm: branch and bound, depth-first, with and then without the model that adds most in the
    relaxation. A branch is left when a mix of the cuts (`levels`) bounds all its sets by the
    threshold or, with `enough` at 0, by what is already found. Exact: a branch that is not left
    ends where no model fits, and its set is valued. Time: O(2^J) nodes at worst, O(K J T) each.
    """
    K, J, T = cuts.gain_kjt.shape
    E = len(budgets.memory_e)
    work = Work(
        np.empty(J, np.int64), np.empty(J), np.empty(J), np.zeros(J), np.empty(E), np.empty(E),
        np.empty(E * T), np.empty(E * T),
    )  # fmt: skip
    item_d, tried_d, bound_d, decided_j = tree.item_d, tree.tried_d, tree.bound_d, tree.decided_j
    mixed = with_room_for_mixes(cuts)
    level_kx = np.zeros((K + 2, E * T))
    best_value, floor = threshold, threshold
    chosen_j, tentative_j = np.zeros(J, np.bool_), np.zeros(J, np.int64)
    window_left_e = np.empty(E)
    nodes, depth, new = 0, tree.place[0], True
    while depth >= 0:
        if new:
            new = False
            nodes += 1
            tree.place[1] += 1
            count = _room_left(budgets, decided_j, work, window_left_e)
            if nodes == 1:
                _mix_first(mixed, K, budgets, level_kx, floor, count, work, decided_j)
            bound, item, value = bound_d[depth], -1, -np.inf
            for _ in range(MIXES):
                spent = cover(mixed, K, budgets.edge_j, decided_j, work.covered_x)
                found = lower_bound(mixed, K, budgets, level_kx, spent, floor, STEPS, count, work)
                bound = min(bound, found)
                if bound <= floor:
                    break
                item = _fill(budgets, decided_j, count, work, window_left_e, tentative_j)
                value, tightest = value_of(cuts, budgets.edge_j, tentative_j, work.covered_x)
                if value > best_value:
                    best_value = value
                    for j in range(J):
                        chosen_j[j] = tentative_j[j] == HELD
                    if enough == 0:
                        floor = value
                found = _mix(mixed, K, tightest, budgets, level_kx, floor, count, work, decided_j)
                idle = found >= bound - LEAST_GAIN * (bound - floor)
                bound = min(bound, found)
                if bound <= floor or idle:
                    break
            bound_d[depth] = bound
            last = count == 0 and enough > 0 and bound > floor and value > floor
            if last or (nodes >= enough > 0 and best_value > floor):
                tree.place[0] = depth
                return best_value, chosen_j, STOPPED_EARLY
            if bound <= floor or count == 0:
                depth -= 1
                continue
            if nodes > node_limit:
                tree.place[0] = depth
                return max(open_bound(tree), floor), chosen_j, OUT_OF_NODES
            item_d[depth], tried_d[depth] = item, NOTHING_TRIED
        item = item_d[depth]
        if tried_d[depth] == WITHOUT_IT or bound_d[depth] <= floor:
            decided_j[item] = OPEN
            depth -= 1
            continue
        tried_d[depth] += 1
        decided_j[item] = HELD if tried_d[depth] == WITH_IT else NOT_HELD
        bound_d[depth + 1] = bound_d[depth]
        depth, new = depth + 1, True
    tree.place[0] = -1
    if enough > 0:  # what was found has been excluded by a mix
        for j in range(J):
            chosen_j[j] = False
    return floor, chosen_j, nodes


@compiled
def _mix_first(
    mixed: LinearCuts, K: int, budgets: EdgeBudgets, level_kx: FloatArray, target: float,
    count: int, work: Work, decided_j: NDArray[np.int64],
) -> None:  # fmt: skip
    """Begin with the cut that is lowest for all sets."""
    lowest, lowest_k = np.inf, 0
    for k in range(K):
        spent = cover(mixed, k, budgets.edge_j, decided_j, work.covered_x)
        found = lower_bound(mixed, k, budgets, level_kx, spent, target, 1, count, work)
        if found < lowest:
            lowest, lowest_k = found, k
    spent = cover(mixed, lowest_k, budgets.edge_j, decided_j, work.covered_x)
    lower_bound(mixed, lowest_k, budgets, level_kx, spent, target, FIRST_STEPS, count, work)
    mix(mixed, lowest_k, lowest_k, 0.0, K, level_kx)


@compiled
def _mix(
    mixed: LinearCuts, K: int, k: int, budgets: EdgeBudgets, level_kx: FloatArray, target: float,
    count: int, work: Work, decided_j: NDArray[np.int64],
) -> float:  # fmt: skip
    """Move the mixed cut towards cut k as far as it lowers the bound of the branch; the bound.

    The bound is convex in the part of cut k: halving finds a good part.
    """
    low, high, best_part, best = 0.0, 1.0, 0.0, np.inf
    for _ in range(HALVINGS):
        part = 0.5 * (low + high)
        mix(mixed, K, k, part, K + 1, level_kx)
        spent = cover(mixed, K + 1, budgets.edge_j, decided_j, work.covered_x)
        found = lower_bound(mixed, K + 1, budgets, level_kx, spent, target, STEPS, count, work)
        if found < best:
            best, best_part = found, part
        if found <= target:
            break
        # The slope: cut k less the mixed cut at what the knapsacks took.
        if taken(mixed, k, budgets.edge_j, decided_j, count, work) < taken(
            mixed, K, budgets.edge_j, decided_j, count, work
        ):
            low = part
        else:
            high = part
    mix(mixed, K, k, best_part, K, level_kx)
    return best


@compiled
def _room_left(budgets: EdgeBudgets, decided_j: NDArray[np.int64], work: Work,
               window_left_e: NDArray[np.float64]) -> int:  # fmt: skip
    """Fill what the models held leave of each edge, and `work.free_i` with the open models that
    fit there; their number."""
    for e in range(len(window_left_e)):
        work.left_e[e], window_left_e[e] = budgets.memory_e[e], budgets.window_e[e]
    for j in range(len(decided_j)):
        if decided_j[j] == HELD:
            work.left_e[budgets.edge_j[j]] -= budgets.bytes_j[j]
            window_left_e[budgets.edge_j[j]] -= budgets.fixed_j[j]
    count = 0
    for j in range(len(decided_j)):
        e = budgets.edge_j[j]
        fits = budgets.bytes_j[j] <= work.left_e[e] and budgets.fixed_j[j] <= window_left_e[e]
        if decided_j[j] == OPEN and fits:
            work.free_i[count] = j
            count += 1
    return count


@compiled
def _fill(budgets: EdgeBudgets, decided_j: NDArray[np.int64], count: int, work: Work,
          window_left_e: NDArray[np.float64], tentative_j: NDArray[np.int64]) -> int:  # fmt: skip
    """Add to the models held those of the last knapsacks that fit together (`tentative_j`); the
    model to branch on: of those that they took a part of, the one of most worth."""
    for j in range(len(decided_j)):
        tentative_j[j] = decided_j[j]
    for e in range(len(window_left_e)):
        work.spare_e[e] = work.left_e[e]
    item = work.free_i[0] if count > 0 else -1
    most = 0.0
    for i in range(count):
        j = work.free_i[i]
        e = budgets.edge_j[j]
        fits = budgets.bytes_j[j] <= work.spare_e[e] and budgets.fixed_j[j] <= window_left_e[e]
        if work.worth_j[j] > 0 and fits:
            tentative_j[j] = HELD
            work.spare_e[e] -= budgets.bytes_j[j]
            window_left_e[e] -= budgets.fixed_j[j]
        if work.share_j[j] > 0 and work.worth_j[j] > most:
            most, item = work.worth_j[j], j
    return item
