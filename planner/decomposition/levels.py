"""A bound on every set of models under cuts that are linear in their gains, by levels of the tasks.

A cut says that no set A of models is worth more than

    base - sum_{j in A} cost_j + sum_x max(0, max_{j in A} gain_jx).

A branch has decided on some models; with covered_x the best gains of those it holds, any levels
u_x >= covered_x bound all of its sets, since max(covered_x, max_j gain_jx) <= u_x + sum_j
max(0, gain_jx - u_x):

    base - costs of what it holds + sum_x u_x
    + knapsack of (sum_x max(0, gain_jx - u_x) - cost_j) under the memory that is left,

edge by edge, and the fractional knapsack is at least the knapsack. At u = covered this is the bound
by marginal gains; the lowest over u is that of the linear relaxation, which counts no task twice.
Subgradient steps come near it, and wherever they stop, the bound is valid.

What one cut leaves another excludes, so a *mix* of cuts, (1 - part) cut a + part cut b, is lower
than either. It is a cut too. For the cuts of edges: V_i and so C are convex in the prices, and so
is every gain, max(0, accuracy - rho - eta work); the mix is then at least the cut at the mixed
prices. The same holds for a client's cuts in the prices of its own budgets.

Axis suffixes: k cut, e edge, j model at an edge, t task, x edge and task (e T + t), i place in a
list of models.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from planner.decomposition.compiled import compiled
from planner.problem import FloatArray

__all__ = ["EdgeBudgets", "LinearCuts", "Work", "cover", "lower_bound", "value_of"]

LEAST_GAIN = -1e9
"""Steps end when one took less than this part of what is left to the target."""


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


class Work(NamedTuple):
    """Arrays that a search uses over and over."""

    free_i: NDArray[np.int64]
    """The models that a branch may still add; the knapsacks take the first first."""
    worth_j: FloatArray
    density_j: FloatArray
    share_j: FloatArray
    """Part of each model that the last knapsacks took."""
    left_e: FloatArray
    spare_e: FloatArray
    covered_x: FloatArray
    slope_x: FloatArray


@compiled
def lower_bound(
    cuts: LinearCuts, k: int, budgets: EdgeBudgets, level_kx: FloatArray, spent: float,
    target: float, steps: int, count: int, work: Work,
) -> float:  # fmt: skip
    """A bound by cut k of a branch that covers `work.covered_x` at a cost of `spent` and may add
    the first `count` of `work.free_i` in `work.left_e` bytes.

    Moves the levels of the cut as far as would bring the bound to `target` if it were linear
    (Polyak's step), up to `steps` times; ends when it is there or hardly moves. O(J T) a step.
    """
    T, X = cuts.gain_kjt.shape[2], level_kx.shape[1]
    free_i, worth_j, density_j, share_j = work.free_i, work.worth_j, work.density_j, work.share_j
    gain_jt, level_x = cuts.gain_kjt[k], level_kx[k]
    lowest = np.inf
    for n in range(steps):
        total = cuts.base_k[k] - spent
        for x in range(X):
            level_x[x] = max(level_x[x], work.covered_x[x])
            total += level_x[x]
        for i in range(count):
            j = free_i[i]
            first = budgets.edge_j[j] * T
            worth = -cuts.cost_kj[k, j]
            for t in range(T):
                worth += max(gain_jt[j, t] - level_x[first + t], 0.0)
            worth_j[j] = worth
            density = worth / max(budgets.bytes_j[j], 1e-300)
            density_j[j] = density
            # Insertion sort by worth per byte: from step to step the order changes little.
            place = i
            while place > 0 and density_j[free_i[place - 1]] < density:
                free_i[place] = free_i[place - 1]
                place -= 1
            free_i[place] = j
        for e in range(len(work.spare_e)):
            work.spare_e[e] = work.left_e[e]
        for i in range(count):
            j = free_i[i]
            spare = work.spare_e[budgets.edge_j[j]]
            share_j[j] = 0.0
            if worth_j[j] > 0:
                if budgets.bytes_j[j] <= spare:
                    share_j[j] = 1.0
                else:
                    share_j[j] = spare / budgets.bytes_j[j]
                work.spare_e[budgets.edge_j[j]] = max(spare - share_j[j] * budgets.bytes_j[j], 0.0)
                total += share_j[j] * worth_j[j]
        before = lowest
        lowest = min(lowest, total)
        if lowest <= target or n == steps - 1:
            break
        if n > 1 and before - lowest < LEAST_GAIN * (lowest - target):
            break
        for x in range(X):
            work.slope_x[x] = 1.0
        for i in range(count):
            j = free_i[i]
            if share_j[j] > 0:
                first = budgets.edge_j[j] * T
                for t in range(T):
                    if gain_jt[j, t] > level_x[first + t]:
                        work.slope_x[first + t] -= share_j[j]
        norm = 0.0
        for x in range(X):
            if work.slope_x[x] > 0 and level_x[x] <= work.covered_x[x]:
                work.slope_x[x] = 0.0
            norm += work.slope_x[x] * work.slope_x[x]
        if norm < 1e-18:
            break
        step = (total - target) / norm
        for x in range(X):
            level_x[x] = max(level_x[x] - step * work.slope_x[x], work.covered_x[x])
    return lowest


@compiled
def cover(cuts: LinearCuts, k: int, edge_j: NDArray[np.int64], decided_j: NDArray[np.int64],
          covered_x: FloatArray) -> float:  # fmt: skip
    """Fill `covered_x` with the best gains of the models held (1 in `decided_j`); their costs."""
    T = cuts.gain_kjt.shape[2]
    spent = 0.0
    for x in range(len(covered_x)):
        covered_x[x] = 0.0
    for j in range(len(decided_j)):
        if decided_j[j] == 1:
            spent += cuts.cost_kj[k, j]
            first = edge_j[j] * T
            for t in range(T):
                covered_x[first + t] = max(covered_x[first + t], cuts.gain_kjt[k, j, t])
    return spent


@compiled
def value_of(cuts: LinearCuts, edge_j: NDArray[np.int64], decided_j: NDArray[np.int64],
             covered_x: FloatArray) -> tuple[float, int]:  # fmt: skip
    """The lowest of what all cuts say of the models held (1 in `decided_j`), and the cut."""
    lowest, lowest_k = np.inf, 0
    for k in range(len(cuts.base_k)):
        total = cuts.base_k[k] - cover(cuts, k, edge_j, decided_j, covered_x)
        for x in range(len(covered_x)):
            total += covered_x[x]
        if total < lowest:
            lowest, lowest_k = total, k
    return lowest, lowest_k


@compiled
def with_room_for_mixes(cuts: LinearCuts) -> LinearCuts:
    """The cuts and two more, still empty."""
    K, J, T = cuts.gain_kjt.shape
    base_k, gain_kjt, cost_kj = np.zeros(K + 2), np.zeros((K + 2, J, T)), np.zeros((K + 2, J))
    base_k[:K], gain_kjt[:K], cost_kj[:K] = cuts.base_k, cuts.gain_kjt, cuts.cost_kj
    return LinearCuts(base_k, gain_kjt, cost_kj)


@compiled
def mix(cuts: LinearCuts, a: int, b: int, part: float, into: int, level_kx: FloatArray) -> None:
    """Cut `into` as (1 - part) cut a + part cut b, and its levels alike."""
    J, T = cuts.gain_kjt.shape[1], cuts.gain_kjt.shape[2]
    rest = 1.0 - part
    cuts.base_k[into] = rest * cuts.base_k[a] + part * cuts.base_k[b]
    for j in range(J):
        cuts.cost_kj[into, j] = rest * cuts.cost_kj[a, j] + part * cuts.cost_kj[b, j]
        for t in range(T):
            gain = rest * cuts.gain_kjt[a, j, t] + part * cuts.gain_kjt[b, j, t]
            cuts.gain_kjt[into, j, t] = gain
    for x in range(level_kx.shape[1]):
        level_kx[into, x] = rest * level_kx[a, x] + part * level_kx[b, x]


@compiled
def taken(cuts: LinearCuts, k: int, edge_j: NDArray[np.int64], decided_j: NDArray[np.int64],
          count: int, work: Work) -> float:  # fmt: skip
    """What cut k says of the models held and of the parts that the last knapsacks took."""
    T = cuts.gain_kjt.shape[2]
    total: float = cuts.base_k[k] - cover(cuts, k, edge_j, decided_j, work.slope_x)
    for i in range(count):
        j = work.free_i[i]
        if work.share_j[j] > 0:
            total -= work.share_j[j] * cuts.cost_kj[k, j]
            first = edge_j[j] * T
            for t in range(T):
                more = cuts.gain_kjt[k, j, t] - work.slope_x[first + t]
                if more > 0:
                    work.slope_x[first + t] += work.share_j[j] * more
    for x in range(len(work.slope_x)):
        total += work.slope_x[x]
    return total
