"""The client subproblem: the best model set and routing of one client at given prices, exactly.

At prices rho_t (a query of edge service), sigma (a byte of backhaul) and gamma (a busy second of
the cloud), client i earns V_i = max over model sets S of its memory of a linear program in its
shares, with two budgets of its own, compute (F5) and uplink (F7). By duality

    V_i = max_S min_{alpha, phi >= 0} g_S(alpha, phi),
    g_S = sum_t lambda_t max(0, remote_t - phi b_t, max_{m in S} a_mt - alpha c_m)
          + alpha beta + phi kappa.

Any (alpha, phi) bounds every S from above, so most sets are pruned by points found for others.

Axis letters: t task, m model, s set, i client. A routing is a vector of T + 5 sums: edge flow by
task (queries/s), backhaul (bytes/s), cloud busy (s/s), value (right answers/s), own compute
(s/s), own uplink (bytes/s). Functions are plain loops, compiled where numba is installed.
"""

from __future__ import annotations

import numpy as np

from planner.decomposition.compiled import compiled
from planner.problem import FloatArray

__all__ = ["best_of_sets", "enumerate_sets", "price_clients", "routing_of_set"]

STEPS = 60
EXACT = 1e-12


@compiled
def enumerate_sets(
    bytes_m: FloatArray, cost_m: FloatArray, accuracy_mt: FloatArray, asked_t: np.ndarray,
    memory: float, limit: int,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """All maximal sets of models that fit `memory`, as (start of each set, members).

    Models that another beats in memory, cost and every asked task are left out: they change no
    optimum. More than `limit` sets give an empty `start` (the caller must refuse).
    """
    M, T = accuracy_mt.shape
    kept = np.empty(M, np.int64)
    count = 0
    for m in range(M):
        if not bytes_m[m] <= memory:
            continue
        serves = False
        for t in range(T):
            if asked_t[t] and accuracy_mt[m, t] > 0:
                serves = True
        beaten = not serves
        for n in range(M):
            if n == m or beaten or bytes_m[n] > bytes_m[m] or cost_m[n] > cost_m[m]:
                continue
            as_good, better = True, bytes_m[n] < bytes_m[m] or cost_m[n] < cost_m[m]
            for t in range(T):
                if asked_t[t]:
                    if accuracy_mt[n, t] < accuracy_mt[m, t]:
                        as_good = False
                    if accuracy_mt[n, t] > accuracy_mt[m, t]:
                        better = True
            if as_good and (better or n < m):
                beaten = True
        if not beaten:
            kept[count] = m
            count += 1
    order = kept[:count][np.argsort(-bytes_m[kept[:count]])]
    rest = np.zeros(count + 1)
    for k in range(count - 1, -1, -1):
        rest[k] = rest[k + 1] + bytes_m[order[k]]
    start = np.empty(1024, np.int64)
    members = np.empty(8192, np.int64)
    sets, used = 0, 0
    start[0] = 0
    # Depth-first: state 0 include next, 1 skip it, 2 done. `left` and `skipped` by depth.
    state = np.zeros(count + 1, np.int64)
    left = np.empty(count + 1)
    skipped = np.empty(count + 1)
    left[0], skipped[0] = memory, np.inf
    depth = 0
    while depth >= 0:
        if depth == count:
            if skipped[depth] > left[depth]:
                if sets >= limit:
                    return np.empty(0, np.int64), members
                if sets + 2 > len(start):
                    start = np.concatenate((start, np.empty(len(start), np.int64)))
                if used + count > len(members):
                    members = np.concatenate((members, np.empty(len(members), np.int64)))
                for k in range(count):
                    if state[k] == 1:
                        members[used] = order[k]
                        used += 1
                sets += 1
                start[sets] = used
            depth -= 1
            continue
        size = bytes_m[order[depth]]
        if state[depth] == 0:
            state[depth] = 1
            if size <= left[depth]:
                left[depth + 1] = left[depth] - size
                skipped[depth + 1] = skipped[depth]
                depth += 1
                state[depth] = 0
                continue
        if state[depth] == 1:
            state[depth] = 2
            fits = size <= left[depth]
            least = min(skipped[depth], size) if fits else skipped[depth]
            # If even all that follows leaves room for a skipped model, no set below is maximal.
            if not (left[depth] - rest[depth + 1] >= least):
                left[depth + 1] = left[depth]
                skipped[depth + 1] = least
                depth += 1
                state[depth] = 0
                continue
        state[depth] = 0
        depth -= 1
    return start[: sets + 1], members[:used]


@compiled
def _answer(
    members: np.ndarray, alpha: float, phi: float, accuracy_mt: FloatArray, cost_m: FloatArray,
    load_t: FloatArray, remote_t: FloatArray, in_cloud_t: np.ndarray, query_bytes_t: FloatArray,
    cloud_accuracy_t: FloatArray, cloud_cost_t: FloatArray, routing: FloatArray,
) -> float:  # fmt: skip
    """Best answer of every task at own prices (alpha, phi); fills `routing`, returns the sum of
    lambda_t max(...) (g_S without the budgets' terms)."""
    T = len(load_t)
    routing[:] = 0.0
    total = 0.0
    for t in range(T):
        if load_t[t] <= 0:
            continue
        best, chosen = 0.0, -1
        for m in members:
            if accuracy_mt[m, t] > 0:
                net = accuracy_mt[m, t] - alpha * cost_m[m]
                if net > best:
                    best, chosen = net, m
        out = remote_t[t] - phi * query_bytes_t[t]
        if out >= best and out > 0:
            best = out
            routing[T + 4] += load_t[t] * query_bytes_t[t]
            if in_cloud_t[t]:
                routing[T] += load_t[t] * query_bytes_t[t]
                routing[T + 1] += load_t[t] * cloud_cost_t[t]
                routing[T + 2] += load_t[t] * cloud_accuracy_t[t]
            else:
                routing[t] += load_t[t]
        elif chosen >= 0:
            routing[T + 2] += load_t[t] * accuracy_mt[chosen, t]
            routing[T + 3] += load_t[t] * cost_m[chosen]
        total += load_t[t] * best
    return total


@compiled
def _over_alpha(
    members: np.ndarray, phi: float, beta: float, accuracy_mt: FloatArray, cost_m: FloatArray,
    load_t: FloatArray, remote_t: FloatArray, in_cloud_t: np.ndarray, query_bytes_t: FloatArray,
    cloud_accuracy_t: FloatArray, cloud_cost_t: FloatArray, routing: FloatArray,
) -> tuple[float, float]:  # fmt: skip
    """min over alpha of g_S(alpha, phi) without phi's term; fills the optimal routing.

    g is convex and piecewise linear in alpha: the next point is where the tangents of a point on
    either side meet, which ends at the minimum after a few steps.
    """
    T = len(load_t)
    low = np.empty(T + 5)
    high = np.empty(T + 5)
    f_low = _answer(members, 0.0, phi, accuracy_mt, cost_m, load_t, remote_t, in_cloud_t,
                    query_bytes_t, cloud_accuracy_t, cloud_cost_t, low)  # fmt: skip
    if low[T + 3] <= beta:
        routing[:] = low
        return f_low, 0.0
    a_low, a_high = 0.0, 0.0
    for m in members:
        for t in range(T):
            if cost_m[m] > 0 and accuracy_mt[m, t] > 0:
                a_high = max(a_high, accuracy_mt[m, t] / cost_m[m])
    a_high = a_high * 1.0000001 + 1e-12
    f_high = beta * a_high + _answer(
        members, a_high, phi, accuracy_mt, cost_m, load_t, remote_t, in_cloud_t,
        query_bytes_t, cloud_accuracy_t, cloud_cost_t, high)  # fmt: skip
    alpha, value = a_high, f_high
    middle = np.empty(T + 5)
    for _ in range(STEPS):
        s_low, s_high = beta - low[T + 3], beta - high[T + 3]
        if s_high <= 0:
            break
        alpha = (f_high - f_low + s_low * a_low - s_high * a_high) / (s_low - s_high)
        expected = f_low + s_low * (alpha - a_low)
        value = beta * alpha + _answer(
            members, alpha, phi, accuracy_mt, cost_m, load_t, remote_t, in_cloud_t,
            query_bytes_t, cloud_accuracy_t, cloud_cost_t, middle)  # fmt: skip
        if value <= expected + EXACT * (abs(expected) + 1e-9) or not a_low < alpha < a_high:
            break
        if middle[T + 3] > beta:
            a_low, f_low = alpha, value
            low[:] = middle
        else:
            a_high, f_high = alpha, value
            high[:] = middle
    s_low, s_high = beta - low[T + 3], beta - high[T + 3]
    weight = s_high / (s_high - s_low)
    routing[:] = weight * low + (1.0 - weight) * high
    return min(value, f_high), alpha if value <= f_high else a_high


@compiled
def routing_of_set(
    members: np.ndarray, beta: float, kappa: float, accuracy_mt: FloatArray, cost_m: FloatArray,
    load_t: FloatArray, remote_t: FloatArray, in_cloud_t: np.ndarray, query_bytes_t: FloatArray,
    cloud_accuracy_t: FloatArray, cloud_cost_t: FloatArray, routing: FloatArray,
) -> tuple[float, float, float]:  # fmt: skip
    """The client's linear program for one set: (value, alpha, phi); fills the optimal routing."""
    T = len(load_t)
    low = np.empty(T + 5)
    high = np.empty(T + 5)
    f_low, alpha = _over_alpha(
        members, 0.0, beta, accuracy_mt, cost_m, load_t, remote_t, in_cloud_t, query_bytes_t,
        cloud_accuracy_t, cloud_cost_t, low)  # fmt: skip
    if low[T + 4] <= kappa:
        routing[:] = low
        return f_low, alpha, 0.0
    p_low, p_high = 0.0, 0.0
    for t in range(T):
        if query_bytes_t[t] > 0:
            p_high = max(p_high, remote_t[t] / query_bytes_t[t])
    p_high = p_high * 1.0000001 + 1e-18
    f_high, a_high = _over_alpha(
        members, p_high, beta, accuracy_mt, cost_m, load_t, remote_t, in_cloud_t,
        query_bytes_t, cloud_accuracy_t, cloud_cost_t, high)  # fmt: skip
    f_high += kappa * p_high
    phi, value, alpha = p_high, f_high, a_high
    middle = np.empty(T + 5)
    for _ in range(STEPS):
        s_low, s_high = kappa - low[T + 4], kappa - high[T + 4]
        if s_high <= 0:
            break
        phi = (f_high - f_low + s_low * p_low - s_high * p_high) / (s_low - s_high)
        expected = f_low + s_low * (phi - p_low)
        value, alpha = _over_alpha(
            members, phi, beta, accuracy_mt, cost_m, load_t, remote_t, in_cloud_t,
            query_bytes_t, cloud_accuracy_t, cloud_cost_t, middle)  # fmt: skip
        value += kappa * phi
        if value <= expected + EXACT * (abs(expected) + 1e-9) or not p_low < phi < p_high:
            break
        if middle[T + 4] > kappa:
            p_low, f_low = phi, value
            low[:] = middle
        else:
            p_high, f_high, a_high = phi, value, alpha
            high[:] = middle
    s_low, s_high = kappa - low[T + 4], kappa - high[T + 4]
    weight = s_high / (s_high - s_low)
    routing[:] = weight * low + (1.0 - weight) * high
    if f_high < value:
        return f_high, a_high, p_high
    return value, alpha, phi


@compiled
def best_of_sets(
    start: np.ndarray, members: np.ndarray, bound_s: FloatArray, guess: int, beta: float,
    kappa: float, accuracy_mt: FloatArray, cost_m: FloatArray, load_t: FloatArray,
    remote_t: FloatArray, in_cloud_t: np.ndarray, query_bytes_t: FloatArray,
    cloud_accuracy_t: FloatArray, cloud_cost_t: FloatArray, tolerance: float, routing: FloatArray,
) -> tuple[float, int]:  # fmt: skip
    """Upper bound on V_i (exact to `tolerance`) and the best set; fills its routing.

    `bound_s` are known upper bounds of every set's value (inf where none), tightened in place;
    `guess` is the set to try first.
    """
    S, T, M = len(start) - 1, len(load_t), len(cost_m)
    net_mt = np.empty((M, T))
    best, chosen = -1.0, -1
    trial = np.empty(T + 5)
    top_s = guess
    while True:
        value, alpha, phi = routing_of_set(
            members[start[top_s] : start[top_s + 1]], beta, kappa, accuracy_mt, cost_m, load_t,
            remote_t, in_cloud_t, query_bytes_t, cloud_accuracy_t, cloud_cost_t, trial)  # fmt: skip
        bound_s[top_s] = min(bound_s[top_s], value)
        if value > best:
            best, chosen = value, top_s
            routing[:] = trial
        out_sum = alpha * beta + (phi * kappa if phi > 0 else 0.0)
        fresh = False
        top, top_s = -1.0, -1
        for s in range(S):
            if bound_s[s] > best + tolerance:
                if not fresh:
                    fresh = True
                    for m in range(M):
                        for t in range(T):
                            served = accuracy_mt[m, t] > 0
                            net = accuracy_mt[m, t] - alpha * cost_m[m] if served else 0.0
                            net_mt[m, t] = load_t[t] * net
                total = out_sum
                for t in range(T):
                    if load_t[t] > 0:
                        most = load_t[t] * (remote_t[t] - phi * query_bytes_t[t])
                        most = max(most, 0.0)
                        for k in range(start[s], start[s + 1]):
                            most = max(most, net_mt[members[k], t])
                        total += most
                bound_s[s] = min(bound_s[s], total)
            if bound_s[s] > top:
                top, top_s = bound_s[s], s
        if top <= best + tolerance:
            return max(top, best), chosen


@compiled
def price_clients(
    first_set_c: np.ndarray, start: np.ndarray, members: np.ndarray, bound_s: FloatArray,
    guess_c: np.ndarray, beta_c: FloatArray, kappa_c: FloatArray, accuracy_cmt: FloatArray,
    cost_cm: FloatArray, load_ct: FloatArray, remote_ct: FloatArray, last_remote_ct: FloatArray,
    in_cloud_ct: np.ndarray, query_bytes_t: FloatArray, cloud_accuracy_t: FloatArray,
    cloud_cost_t: FloatArray, tolerance_c: FloatArray, value_c: FloatArray, routing_c: FloatArray,
) -> None:  # fmt: skip
    """`best_of_sets` for every client; fills value_c, guess_c (best sets) and routing_c.

    A set's value rises by at most lambda_t per unit that remote_t rises, and never rises when it
    falls: so the bounds of the last call, raised by that, are bounds now. `accuracy_cmt` has one
    row for all clients, or one a client where deadlines close paths (F13).
    """
    C, T = load_ct.shape
    last = accuracy_cmt.shape[0] - 1
    for c in range(C):
        a, b = first_set_c[c], first_set_c[c + 1]
        drift = 0.0
        for t in range(T):
            drift += load_ct[c, t] * max(remote_ct[c, t] - last_remote_ct[c, t], 0.0)
        bound_s[a:b] += drift * 1.000000001
        value_c[c], guess_c[c] = best_of_sets(
            start[a : b + 1], members, bound_s[a:b], guess_c[c], beta_c[c], kappa_c[c],
            accuracy_cmt[min(c, last)], cost_cm[c], load_ct[c], remote_ct[c], in_cloud_ct[c],
            query_bytes_t, cloud_accuracy_t, cloud_cost_t, tolerance_c[c],
            routing_c[c])  # fmt: skip
