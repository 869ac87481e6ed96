"""The client's linear program: the best routing of one client that holds given models.

At prices of what clients share - rho_t of a query/s of edge service, sigma of a byte/s of
backhaul, gamma of a busy second of the cloud - a client that holds the models S earns

    V(S) = min over compute_price, uplink_price >= 0 of
           sum_t load_t max(0, remote_t - uplink_price bytes_t,
                            max_{m in S} accuracy_mt - compute_price cost_m)
           + compute_price compute + uplink_price uplink,

with remote_t the better of edge (rho_t) and cloud. This is the linear program in the shares of
the client's queries (F2) under its own two budgets, compute (F5) and uplink (F7), after linear
programming duality: given the prices of both budgets, every task goes whole where it earns most.
In docs/formulation.md, "Decomposition", compute_price is alpha and uplink_price is pi.

Axis suffixes: t task, m model.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from planner.decomposition.compiled import compiled
from planner.decomposition.routing_layout import (
    COMPUTE,
    FIRST_EDGE_FLOW,
    UPLINK,
    VALUE,
    copy_routing,
    routing_length,
)
from planner.decomposition.tangents import (
    MAX_STEPS,
    Tangent,
    is_minimum,
    price_where_they_meet,
    value_where_they_meet,
)
from planner.problem import FloatArray

__all__ = ["ClientProblem", "routing_of_set"]

JUST_ABOVE = 1.0000001
"""Factor from the highest price at which a unit of budget could earn to one at which none does."""


class ClientProblem(NamedTuple):
    """What one client has, is asked, and is offered outside at the present prices."""

    accuracy_mt: FloatArray
    """In [0, 1]; 0 where m does not serve t in time (F13) or at all."""
    cost_m: FloatArray
    """Busy seconds of one query."""
    load_t: FloatArray
    """Queries/s."""
    compute: float
    """Busy seconds per second it may spend: fill times beta_i (F5)."""
    uplink: float
    """Bytes/s; inf where there is no limit (F7)."""
    remote_t: FloatArray
    """Worth of a query that leaves the client: max(0, edge, cloud), its upload not charged."""
    in_cloud_t: NDArray[np.bool_]
    """Whether that worth is the cloud's."""
    query_bytes_t: FloatArray
    """Bytes of a query's upload."""
    cloud_net_t: FloatArray
    """Accuracy of the cloud, its busy time charged (F8)."""


@compiled
def routing_of_set(
    held: NDArray[np.int64], client: ClientProblem, routing: FloatArray
) -> tuple[float, float, float]:
    """V(S) for the models `held`: (value in right answers/s, compute_price, uplink_price).

    Fills `routing` (see routing_layout) with an optimal routing.

    Algorithm: the search of `tangents` over the price of the uplink, each point of which is one
    over the price of compute. Exact: both minima are reached where two tangents meet, and the
    routings of those two, mixed so that the budget is used up, are optimal for the linear
    program. Whatever ends the search, the value is V(S) or more. Time: O(p q T |S|) for p and q
    points tried of either price; one of each where no budget binds.
    """
    T = len(client.load_t)
    low_routing = np.empty(routing_length(T))
    value, compute_price = _price_compute(held, 0.0, client, low_routing)
    if low_routing[UPLINK] <= client.uplink:
        copy_routing(low_routing, routing)
        return value, compute_price, 0.0
    low = Tangent(0.0, value, client.uplink - low_routing[UPLINK])
    price = 0.0
    for t in range(T):
        if client.query_bytes_t[t] > 0:
            price = max(price, client.remote_t[t] / client.query_bytes_t[t])
    price = price * JUST_ABOVE + 1e-18
    high_routing = np.empty(routing_length(T))
    value, compute_price = _price_compute(held, price, client, high_routing)
    value += client.uplink * price
    high = Tangent(price, value, client.uplink - high_routing[UPLINK])
    high_compute_price = compute_price
    middle_routing = np.empty(routing_length(T))
    for _ in range(MAX_STEPS):
        if high.slope <= 0:
            break
        price = price_where_they_meet(low, high)
        lowest = value_where_they_meet(low, price)
        value, compute_price = _price_compute(held, price, client, middle_routing)
        value += client.uplink * price
        if is_minimum(value, lowest) or not low.price < price < high.price:
            break
        middle = Tangent(price, value, client.uplink - middle_routing[UPLINK])
        if middle.slope < 0:
            low = middle
            copy_routing(middle_routing, low_routing)
        else:
            high, high_compute_price = middle, compute_price
            copy_routing(middle_routing, high_routing)
    _mix(low_routing, low.slope, high_routing, high.slope, routing)
    if high.value < value:
        return high.value, high_compute_price, high.price
    return value, compute_price, price


@compiled
def _price_compute(
    held: NDArray[np.int64], uplink_price: float, client: ClientProblem, routing: FloatArray
) -> tuple[float, float]:
    """The minimum over compute_price at this uplink_price: (value, compute_price), the uplink's
    own term left out. Fills an optimal `routing`.

    The search of `tangents`, O(q T |S|) for q points tried: a task changes its answer at most
    |S| + 1 times as the price rises, so there are at most T (|S| + 1) + 1 pieces.
    """
    T = len(client.load_t)
    low_routing = np.empty(routing_length(T))
    value = _best_answers(held, 0.0, uplink_price, client, low_routing)
    if low_routing[COMPUTE] <= client.compute:
        copy_routing(low_routing, routing)
        return value, 0.0
    low = Tangent(0.0, value, client.compute - low_routing[COMPUTE])
    price = 0.0
    for m in held:
        for t in range(T):
            if client.cost_m[m] > 0 and client.accuracy_mt[m, t] > 0:
                price = max(price, client.accuracy_mt[m, t] / client.cost_m[m])
    price = price * JUST_ABOVE + 1e-12
    high_routing = np.empty(routing_length(T))
    value = client.compute * price + _best_answers(held, price, uplink_price, client, high_routing)
    high = Tangent(price, value, client.compute - high_routing[COMPUTE])
    middle_routing = np.empty(routing_length(T))
    for _ in range(MAX_STEPS):
        if high.slope <= 0:
            break
        price = price_where_they_meet(low, high)
        lowest = value_where_they_meet(low, price)
        value = client.compute * price + _best_answers(
            held, price, uplink_price, client, middle_routing
        )
        if is_minimum(value, lowest) or not low.price < price < high.price:
            break
        middle = Tangent(price, value, client.compute - middle_routing[COMPUTE])
        if middle.slope < 0:
            low = middle
            copy_routing(middle_routing, low_routing)
        else:
            high = middle
            copy_routing(middle_routing, high_routing)
    _mix(low_routing, low.slope, high_routing, high.slope, routing)
    if high.value < value:
        return high.value, high.price
    return value, price


@compiled
def _best_answers(
    held: NDArray[np.int64], compute_price: float, uplink_price: float, client: ClientProblem,
    routing: FloatArray,
) -> float:  # fmt: skip
    """Every task where it earns most at these prices of the client's own budgets. O(T |S|).

    Fills `routing`; returns sum_t load_t max(...), without the terms of the budgets.
    """
    for k in range(len(routing)):
        routing[k] = 0.0
    total = 0.0
    for t in range(len(client.load_t)):
        load = client.load_t[t]
        if load <= 0:
            continue
        best, chosen = 0.0, -1
        for m in held:
            if client.accuracy_mt[m, t] > 0:
                net = client.accuracy_mt[m, t] - compute_price * client.cost_m[m]
                if net > best:
                    best, chosen = net, m
        query_bytes = client.query_bytes_t[t]
        remote = client.remote_t[t] - uplink_price * query_bytes
        if remote >= best and remote > 0:
            best = remote
            routing[UPLINK] += load * query_bytes
            if client.in_cloud_t[t]:
                routing[FIRST_EDGE_FLOW + len(client.load_t) + t] += load
                routing[VALUE] += load * client.cloud_net_t[t]
            else:
                routing[FIRST_EDGE_FLOW + t] += load
        elif chosen >= 0:
            routing[VALUE] += load * client.accuracy_mt[chosen, t]
            routing[COMPUTE] += load * client.cost_m[chosen]
        total += load * best
    return total


@compiled
def _mix(
    low_routing: FloatArray, low_slope: float, high_routing: FloatArray, high_slope: float,
    routing: FloatArray,
) -> None:  # fmt: skip
    """The mix of two routings whose use equals the budget: its slope is 0."""
    weight = high_slope / (high_slope - low_slope)
    for k in range(len(routing)):
        routing[k] = weight * low_routing[k] + (1.0 - weight) * high_routing[k]
