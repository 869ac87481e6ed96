"""The edge's side: what a model set earns at given prices, and which sets may still be optimal.

At prices rho_t of edge service, active models A of an edge earn

    E_A(rho) = min_{eta >= 0} eta (W - sum_{m in A} nu_m)
               + sum_t cap_t max(0, max_{m in A} a_mt - rho_t - eta w_m)

with W the window's work, nu_m fixed and w_m marginal work (F9). With C_k the clients' side of the
Lagrangian at the k-th price vector, no plan whose edge uses A is worth more than
min_k C_k + E_A(rho_k): every price vector ever tried is a cut on the value of every model set.

Axis letters: t task, m model, k cut.
"""

from __future__ import annotations

import numpy as np

from planner.decomposition.compiled import compiled
from planner.problem import FloatArray

__all__ = ["edge_value", "select_set"]

STEPS = 60
EXACT = 1e-12


@compiled
def _at_eta(
    active: np.ndarray, eta: float, accuracy_mt: FloatArray, work_m: FloatArray,
    price_t: FloatArray, cap_t: FloatArray,
) -> tuple[float, float]:  # fmt: skip
    """Gains at a price eta of work, and the work they would take."""
    total, used = 0.0, 0.0
    for t in range(len(cap_t)):
        best, work = 0.0, 0.0
        for m in active:
            if accuracy_mt[m, t] > 0:
                net = accuracy_mt[m, t] - price_t[t] - eta * work_m[m]
                if net > best:
                    best, work = net, work_m[m]
        total += cap_t[t] * best
        used += cap_t[t] * work
    return total, used


@compiled
def edge_value(
    active: np.ndarray, accuracy_mt: FloatArray, fixed_m: FloatArray, work_m: FloatArray,
    price_t: FloatArray, cap_t: FloatArray, window: float,
) -> tuple[float, float]:  # fmt: skip
    """(E_A, eta); -inf where the fixed work of `active` alone exceeds the window."""
    room = window
    for m in active:
        room -= fixed_m[m]
    if room < 0:
        return -np.inf, 0.0
    f_low, u_low = _at_eta(active, 0.0, accuracy_mt, work_m, price_t, cap_t)
    if u_low <= room:
        return f_low, 0.0
    e_low, e_high = 0.0, 0.0
    for m in active:
        for t in range(len(cap_t)):
            if work_m[m] > 0 and accuracy_mt[m, t] > price_t[t]:
                e_high = max(e_high, (accuracy_mt[m, t] - price_t[t]) / work_m[m])
    e_high = e_high * 1.0000001 + 1e-12
    f_high, u_high = _at_eta(active, e_high, accuracy_mt, work_m, price_t, cap_t)
    f_high += room * e_high
    best, best_eta = f_high, e_high
    for _ in range(STEPS):
        s_low, s_high = room - u_low, room - u_high
        if s_high <= 0:
            break
        eta = (f_high - f_low + s_low * e_low - s_high * e_high) / (s_low - s_high)
        expected = f_low + s_low * (eta - e_low)
        value, used = _at_eta(active, eta, accuracy_mt, work_m, price_t, cap_t)
        value += room * eta
        if value < best:
            best, best_eta = value, eta
        if value <= expected + EXACT * (abs(expected) + 1e-9) or not e_low < eta < e_high:
            break
        if used > room:
            e_low, f_low, u_low = eta, value, used
        else:
            e_high, f_high, u_high = eta, value, used
    return best, best_eta


@compiled
def select_set(
    base_k: FloatArray, gain_kmt: FloatArray, cost_km: FloatArray, bytes_m: FloatArray,
    fixed_m: FloatArray, memory: float, window: float, threshold: float, node_limit: int,
) -> tuple[float, np.ndarray, int]:  # fmt: skip
    """The set of models with the highest bound min_k base_k - cost_k(A) + sum_t max_A gain_kt,
    if above `threshold`: (bound, mask, nodes); (threshold, empty mask, nodes) if there is none.

    Depth-first with the fractional-knapsack bound of each cut's marginal gains (the cover is
    submodular, so marginals of a prefix bound those of every completion). Beyond `node_limit`
    the bound of what was left open is returned with an empty mask and nodes = -1: still valid.
    """
    K, M, T = gain_kmt.shape
    chosen = np.zeros(M, np.bool_)
    best_value = threshold
    state = np.zeros(M + 1, np.int64)
    left = np.empty(M + 1)
    room = np.empty(M + 1)
    covered = np.zeros((M + 1, K, T))
    spent = np.zeros((M + 1, K))
    left[0], room[0] = memory, window
    density = np.empty(M)
    marginal = np.empty(M)
    size = np.empty(M)
    fresh = True
    hint = 0
    nodes = 0
    depth = 0
    while depth >= 0:
        if fresh:
            fresh = False
            nodes += 1
            state[depth] = 0
            value = np.inf
            for k in range(K):
                here = base_k[k] - spent[depth, k]
                for t in range(T):
                    here += covered[depth, k, t]
                value = min(value, here)
            if value > best_value:
                best_value = value
                for m in range(M):
                    chosen[m] = m < depth and state[m] == 1
            pruned = depth == M
            worst = np.inf
            for trial in range(K):
                if pruned:
                    break
                k = (hint + trial) % K
                bound = base_k[k] - spent[depth, k]
                for t in range(T):
                    bound += covered[depth, k, t]
                count = 0
                for m in range(depth, M):
                    if bytes_m[m] > left[depth] or fixed_m[m] > room[depth]:
                        continue
                    gain = -cost_km[k, m]
                    for t in range(T):
                        gain += max(gain_kmt[k, m, t] - covered[depth, k, t], 0.0)
                    if gain <= 0:
                        continue
                    ratio = gain / max(bytes_m[m], 1e-300)
                    place = count
                    while place > 0 and density[place - 1] < ratio:
                        density[place] = density[place - 1]
                        marginal[place] = marginal[place - 1]
                        size[place] = size[place - 1]
                        place -= 1
                    density[place], marginal[place], size[place] = ratio, gain, bytes_m[m]
                    count += 1
                space = left[depth]
                for j in range(count):
                    if size[j] <= space:
                        bound += marginal[j]
                        space -= size[j]
                    else:
                        bound += density[j] * space
                        break
                worst = min(worst, bound)
                if bound <= best_value:
                    pruned = True
                    hint = k
            if not pruned and nodes > node_limit:
                # What is open is bounded by the root, which is bounded by its first visit.
                return worst if depth == 0 else np.inf, np.zeros(M, np.bool_), -1
            if pruned:
                state[depth] = 2
        if state[depth] == 0:
            state[depth] = 1
            if bytes_m[depth] <= left[depth] and fixed_m[depth] <= room[depth]:
                left[depth + 1] = left[depth] - bytes_m[depth]
                room[depth + 1] = room[depth] - fixed_m[depth]
                for k in range(K):
                    spent[depth + 1, k] = spent[depth, k] + cost_km[k, depth]
                    for t in range(T):
                        covered[depth + 1, k, t] = max(covered[depth, k, t], gain_kmt[k, depth, t])
                depth += 1
                fresh = True
                continue
        if state[depth] == 1:
            state[depth] = 2
            left[depth + 1], room[depth + 1] = left[depth], room[depth]
            for k in range(K):
                spent[depth + 1, k] = spent[depth, k]
                for t in range(T):
                    covered[depth + 1, k, t] = covered[depth, k, t]
            depth += 1
            fresh = True
            continue
        depth -= 1
    return best_value, chosen, nodes
