"""The client subproblem: the best model set of every client at given prices, bounded exactly.

V_i = max over model sets S of V(S) - charge(S), with V(S) of `client_kernel` and charge(S) what
loading S costs (F16). V(S) is a minimum over the two prices of the client's own budgets, so *any*
pair of prices gives an upper bound on every set:

    V(S) <= g_S(compute_price, uplink_price),    which costs O(T |S|) to compute.

The prices that are optimal for one set are nearly so for the others; most sets are excluded by the
prices of two or three (docs/formulation.md, "Decomposition", F10).

Axis suffixes: c client, t task, m model, s model set.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from planner.decomposition.client_kernel import ClientProblem, routing_of_set
from planner.decomposition.compiled import compiled
from planner.decomposition.model_sets import ModelSets
from planner.decomposition.routing_layout import VALUE, copy_routing, routing_length
from planner.problem import FloatArray

__all__ = ["Clients", "Offers", "SetBounds", "best_of_sets", "price_clients"]

ROUNDING_UP = 1.000000001
"""Covers the rounding errors of the sum by which old bounds are raised."""


class Clients(NamedTuple):
    """What the clients have and are asked; the same at all prices."""

    accuracy_cmt: FloatArray
    """One (M, T) for all clients, or one each where deadlines close paths (F13)."""
    cost_cm: FloatArray
    """Busy seconds of one query."""
    load_ct: FloatArray
    """Queries/s."""
    compute_c: FloatArray
    """Busy seconds per second each may spend (F5)."""
    uplink_c: FloatArray
    """Bytes/s (F7)."""
    query_bytes_t: FloatArray
    """Bytes of a query's upload."""
    tolerance_c: FloatArray
    """Right answers/s by which a value may be above the optimum."""


class Offers(NamedTuple):
    """What a query earns outside its client at the present prices (see `ClientProblem`)."""

    remote_ct: FloatArray
    in_cloud_ct: NDArray[np.bool_]
    cloud_net_t: FloatArray


class SetBounds(NamedTuple):
    """What is known of every model set from earlier prices; `price_clients` keeps it up."""

    bound_s: FloatArray
    """V(S) - charge(S) is at most this, right answers/s; inf before the first call."""
    remote_ct: FloatArray
    """The offers for which `bound_s` holds; inf before the first call."""
    best_set_c: NDArray[np.int64]
    """Each client's best set, counted from its own first."""


@compiled
def price_clients(
    clients: Clients, sets: ModelSets, offers: Offers, known: SetBounds
) -> tuple[FloatArray, FloatArray]:
    """`best_of_sets` for every client: (value_c, routing_c), with routings as of routing_layout.

    value_c are upper bounds on V_i, at most tolerance_c above it. `known` is updated in place.

    Bounds of earlier prices are raised, not thrown away: V(S) rises by at most load_t for each
    unit that remote_t rises, and never rises when remote_t falls, so bound_s + sum_t load_t
    max(0, rise of remote_t) holds at the new prices. Time: O(S T) to look at all sets once, and
    for each set that is not excluded one linear program and O(S T |S|) to tighten the others.
    """
    C, T = clients.load_ct.shape
    value_c, routing_c = np.zeros(C), np.zeros((C, routing_length(T)))
    last = clients.accuracy_cmt.shape[0] - 1
    for c in range(C):
        a, b = sets.first_set_c[c], sets.first_set_c[c + 1]
        rise = 0.0
        for t in range(T):
            higher = offers.remote_ct[c, t] - known.remote_ct[c, t]
            rise += clients.load_ct[c, t] * max(higher, 0.0)
            known.remote_ct[c, t] = offers.remote_ct[c, t]
        for s in range(a, b):
            known.bound_s[s] += rise * ROUNDING_UP
        client = ClientProblem(
            clients.accuracy_cmt[min(c, last)], clients.cost_cm[c], clients.load_ct[c],
            clients.compute_c[c], clients.uplink_c[c], offers.remote_ct[c],
            offers.in_cloud_ct[c], clients.query_bytes_t, offers.cloud_net_t,
        )  # fmt: skip
        value_c[c], known.best_set_c[c] = best_of_sets(
            client, sets.first_member_s[a : b + 1], sets.members, sets.charge_s[a:b],
            known.bound_s[a:b], known.best_set_c[c], clients.tolerance_c[c], routing_c[c],
        )  # fmt: skip
    return value_c, routing_c


@compiled
def best_of_sets(
    client: ClientProblem, first_member_s: NDArray[np.int64], members: NDArray[np.int64],
    charge_s: FloatArray, bound_s: FloatArray, first_try: int, tolerance: float,
    routing: FloatArray,
) -> tuple[float, int]:  # fmt: skip
    """An upper bound on V_i at most `tolerance` above it, and the best set s found.

    `first_member_s`, `members` and `charge_s` are the client's sets as in `ModelSets`; `bound_s`
    upper bounds of their values (inf where none is known), tightened in place; `first_try` is the
    set to begin with. Fills `routing` with an optimal routing of the best set, whose VALUE has the
    set's charge taken off (F16).

    Algorithm: solve the linear program of the set with the highest bound; its optimal prices
    tighten the bounds of all sets that could still be better; repeat until none is better by
    more than `tolerance`. Exact to `tolerance`, because every set is then either solved or
    bounded. Ends after at most S linear programs, since the bound of a solved set is its value.
    """
    best, chosen = -np.inf, -1
    trial = np.empty(routing_length(len(client.load_t)))
    s = first_try
    while True:
        held = members[first_member_s[s] : first_member_s[s + 1]]
        value, compute_price, uplink_price = routing_of_set(held, client, trial)
        value -= charge_s[s]
        bound_s[s] = min(bound_s[s], value)
        if value > best:
            best, chosen = value, s
            copy_routing(trial, routing)
            routing[VALUE] -= charge_s[s]
        floor = best + tolerance
        s = _tighten(
            client, first_member_s, members, charge_s, bound_s, floor, compute_price, uplink_price
        )
        if bound_s[s] <= floor:
            return max(bound_s[s], best), chosen


@compiled
def _tighten(
    client: ClientProblem, first_member_s: NDArray[np.int64], members: NDArray[np.int64],
    charge_s: FloatArray, bound_s: FloatArray, floor: float,
    compute_price: float, uplink_price: float,
) -> int:  # fmt: skip
    """Lower the bounds above `floor` to g_S at these prices; returns the set with the highest.

    Time: O(M T) once and O(T |S|) for each set above `floor`.
    """
    M, T = client.accuracy_mt.shape
    budgets = compute_price * client.compute
    if uplink_price > 0:  # the uplink may be inf, and 0 * inf is no number
        budgets += uplink_price * client.uplink
    gain_mt = np.empty((M, T))
    remote_gain_t = np.empty(T)
    computed = False
    highest, highest_s = -np.inf, -1
    for s in range(len(bound_s)):
        if bound_s[s] > floor:
            if not computed:
                computed = True
                for t in range(T):
                    load = client.load_t[t]
                    remote = client.remote_t[t] - uplink_price * client.query_bytes_t[t]
                    remote_gain_t[t] = max(load * remote, 0.0)
                    for m in range(M):
                        accuracy = client.accuracy_mt[m, t]
                        net = accuracy - compute_price * client.cost_m[m] if accuracy > 0 else 0.0
                        gain_mt[m, t] = load * net
            total = budgets - charge_s[s]
            for t in range(T):
                if client.load_t[t] > 0:
                    most = remote_gain_t[t]
                    for k in range(first_member_s[s], first_member_s[s + 1]):
                        most = max(most, gain_mt[members[k], t])
                    total += most
            bound_s[s] = min(bound_s[s], total)
        if bound_s[s] > highest:
            highest, highest_s = bound_s[s], s
    return highest_s
