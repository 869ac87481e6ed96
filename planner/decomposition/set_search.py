"""The client subproblem by branch and bound, where its model sets are too many to enumerate.

As in `best_set`, any prices (compute_price, uplink_price) of the client's own budgets bound every
model set S. With gain_jt = load_t (accuracy_jt - compute_price cost_j) and remote_t what the load
of a task earns outside,

    V(S) - charge(S) <= budgets + sum_t max(remote_t, max_{j in S} gain_jt) - charge(S),

a cut as those on the models of edges, and the sets are searched as those are (`edge_sets`).

Axis suffixes: t task, m model, j model that the client may hold, k cut, p set to begin with.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from planner.decomposition.client_kernel import ClientProblem, routing_of_set
from planner.decomposition.compiled import compiled
from planner.decomposition.edge_sets import OUT_OF_NODES, new_tree, open_bound, select_set
from planner.decomposition.levels import EdgeBudgets, LinearCuts
from planner.decomposition.routing_layout import VALUE, copy_routing, routing_length
from planner.problem import FloatArray

__all__ = ["Holdable", "search_sets"]

MOST_CUTS = 16


class Holdable(NamedTuple):
    """The models that a client may hold, and its memory."""

    m_j: NDArray[np.int64]
    bytes_j: FloatArray
    charge_j: FloatArray
    """What loading it costs, right answers/s (F16)."""
    memory: float
    """Bytes (F4)."""


@compiled
def search_sets(
    client: ClientProblem, may: Holdable, start_pj: NDArray[np.bool_], known_bound: float,
    tolerance: float, most_nodes: int, held_j: NDArray[np.bool_], routing: FloatArray,
) -> tuple[float, int]:  # fmt: skip
    """An upper bound on the best V(S) - charge(S), and the number of branches looked at.

    Fills `held_j` with the best set found and `routing` with its routing, its VALUE less the set's
    charge. The bound is at most `tolerance` above the value of that set unless `most_nodes`
    branches were not enough. Begins with the best of `start_pj`; `known_bound`
    is a bound known before (inf: none).

    Algorithm: find a set to which all cuts allow more than `tolerance` above the best value so far;
    solve its linear program, whose prices are a further cut that allows it no more than its value;
    repeat until there is none.
    """
    J, T = len(may.m_j), len(client.load_t)
    base_k, gain_kjt = np.empty(MOST_CUTS), np.empty((MOST_CUTS, J, T))
    cost_kj = np.empty((MOST_CUTS, J))
    budgets = EdgeBudgets(
        np.zeros(J, np.int64), may.bytes_j, np.full(1, may.memory), np.zeros(J), np.ones(1)
    )
    trial = np.empty(routing_length(T))
    best, K = -np.inf, 0
    compute_price, uplink_price = 0.0, 0.0
    for p in range(len(start_pj)):
        value, compute, uplink = _solve(client, may, start_pj[p], trial)
        if value > best:
            best, compute_price, uplink_price = value, compute, uplink
            copy_routing(trial, routing)
            for j in range(J):
                held_j[j] = start_pj[p, j]
    tree = new_tree(J, known_bound)
    highest = best  # bound of what was left out
    while open_bound(tree) > best + tolerance and tree.place[1] < most_nodes:
        k = K % MOST_CUTS  # the oldest gives way; what it excluded has been left already
        base_k[k] = _cut(client, may, compute_price, uplink_price, gain_kjt[k])
        for j in range(J):
            cost_kj[k, j] = may.charge_j[j]
        K += 1
        count = min(K, MOST_CUTS)
        cuts = LinearCuts(base_k[:count], gain_kjt[:count], cost_kj[:count])
        floor = best + tolerance
        highest = max(highest, floor)
        left = most_nodes - tree.place[1]
        _, chosen_j, used = select_set(cuts, budgets, tree, floor, left, 1)
        if used >= 0 or used == OUT_OF_NODES:
            break
        value, compute_price, uplink_price = _solve(client, may, chosen_j, trial)
        if value > best:
            best = value
            copy_routing(trial, routing)
            for j in range(J):
                held_j[j] = chosen_j[j]
    return max(min(max(highest, open_bound(tree)), known_bound), best), tree.place[1]


@compiled
def _solve(
    client: ClientProblem, may: Holdable, held_j: NDArray[np.bool_], routing: FloatArray
) -> tuple[float, float, float]:
    """(V(S) less the set's charge, compute_price, uplink_price); fills `routing`, its VALUE less
    the charge."""
    value, compute_price, uplink_price = routing_of_set(may.m_j[held_j], client, routing)
    charge = 0.0
    for j in range(len(held_j)):
        if held_j[j]:
            charge += may.charge_j[j]
    routing[VALUE] -= charge
    return value - charge, compute_price, uplink_price


@compiled
def _cut(
    client: ClientProblem, may: Holdable, compute_price: float, uplink_price: float,
    gain_jt: FloatArray,
) -> float:  # fmt: skip
    """The base of the cut at these prices; fills what each model adds to that."""
    base = compute_price * client.compute
    if uplink_price > 0:  # the uplink may be inf, and 0 * inf is no number
        base += uplink_price * client.uplink
    for t in range(len(client.load_t)):
        load = client.load_t[t]
        remote = load * max(client.remote_t[t] - uplink_price * client.query_bytes_t[t], 0.0)
        base += remote
        for j in range(len(may.m_j)):
            m = may.m_j[j]
            accuracy = client.accuracy_mt[m, t]
            net = accuracy - compute_price * client.cost_m[m] if accuracy > 0 else 0.0
            gain_jt[j, t] = max(load * net - remote, 0.0)
    return base
