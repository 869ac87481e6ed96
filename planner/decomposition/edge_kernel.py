"""The edge's linear program: what given models of an edge earn at given prices.

At prices rho_t of a query/s of edge service, an edge that holds the models A earns

    E_A(rho) = min over work_price >= 0 of
               sum_t cap_t max(0, max_{m in A} accuracy_mt - rho_t - work_price work_m)
               + work_price (window - sum_{m in A} fixed_m),

the dual of the best flows through its models under F3 and F9 (F6 where it does not batch). In
docs/formulation.md, "Decomposition", work_price is eta.

Axis suffixes: k price vector, t task, m model.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from planner.decomposition.compiled import compiled
from planner.decomposition.tangents import (
    MAX_STEPS,
    Tangent,
    is_minimum,
    price_where_they_meet,
    value_where_they_meet,
)
from planner.problem import FloatArray

__all__ = ["EdgeModels", "edge_value", "edge_values"]

JUST_ABOVE = 1.0000001
"""Factor from the highest price at which a second of work could earn to one at which none does."""


class EdgeModels(NamedTuple):
    """The models an edge may hold, what limits them, and what can be asked of them."""

    accuracy_mt: FloatArray
    """In [0, 1]; 0 where m does not serve t."""
    bytes_m: FloatArray
    """Resident memory (F4)."""
    fixed_m: FloatArray
    """Seconds of work per window of a model that is in use (F9; 0 in F6)."""
    work_m: FloatArray
    """Seconds of work per window of one query/s."""
    cap_t: FloatArray
    """Queries/s that the clients can bring at most (F3)."""
    memory: float
    """Bytes (F4)."""
    window: float
    """Seconds of work that a window may hold (F9)."""
    excess: float = 0.0
    """Seconds by which setups may exceed it and still fit (`planner.fits`)."""

    def of(self, m: NDArray[np.int64]) -> EdgeModels:
        """The same edge with these models alone."""
        return self._replace(
            accuracy_mt=np.ascontiguousarray(self.accuracy_mt[m]), bytes_m=self.bytes_m[m],
            fixed_m=self.fixed_m[m], work_m=self.work_m[m],
        )  # fmt: skip


@compiled
def edge_value(
    held: NDArray[np.int64], edge: EdgeModels, price_t: FloatArray
) -> tuple[float, float]:
    """E_A for the models `held` at `price_t` (rho): (value in right answers/s, work_price).

    -inf where the fixed work of `held` alone exceeds the window.

    Algorithm: the search of `tangents` over the price of work, O(T |A|) for each point; a task
    changes its model at most |A| times as the price rises, so there are at most T |A| + 1 pieces.
    Exact by linear programming duality; whatever ends the search, the value is E_A or more.
    """
    room = edge.window
    for m in held:
        room -= edge.fixed_m[m]
    if room < -edge.excess:
        return -np.inf, 0.0
    room = max(room, 0.0)
    value, used = _best_models(held, 0.0, edge, price_t)
    if used <= room:
        return value, 0.0
    low = Tangent(0.0, value, room - used)
    work_price = 0.0
    for m in held:
        for t in range(len(edge.cap_t)):
            if edge.work_m[m] > 0 and edge.accuracy_mt[m, t] > price_t[t]:
                worth = (edge.accuracy_mt[m, t] - price_t[t]) / edge.work_m[m]
                work_price = max(work_price, worth)
    work_price = work_price * JUST_ABOVE + 1e-12
    value, used = _best_models(held, work_price, edge, price_t)
    high = Tangent(work_price, value + room * work_price, room - used)
    best, best_price = high.value, work_price
    for _ in range(MAX_STEPS):
        if high.slope <= 0:
            break
        work_price = price_where_they_meet(low, high)
        lowest = value_where_they_meet(low, work_price)
        value, used = _best_models(held, work_price, edge, price_t)
        value += room * work_price
        if value < best:
            best, best_price = value, work_price
        if is_minimum(value, lowest) or not low.price < work_price < high.price:
            break
        middle = Tangent(work_price, value, room - used)
        if middle.slope < 0:
            low = middle
        else:
            high = middle
    return best, best_price


@compiled
def edge_values(
    held: NDArray[np.int64], edge: EdgeModels, price_kt: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """E_A for the models `held` at each price vector rho_k: (value_k, work_price_k)."""
    K = price_kt.shape[0]
    value_k, work_price_k = np.empty(K), np.empty(K)
    for k in range(K):
        value_k[k], work_price_k[k] = edge_value(held, edge, price_kt[k])
    return value_k, work_price_k


@compiled
def _best_models(
    held: NDArray[np.int64], work_price: float, edge: EdgeModels, price_t: FloatArray
) -> tuple[float, float]:
    """Every task by the model that earns most at this price of work: the sum of gains in right
    answers/s, and the seconds of work they take from a window. O(T |A|)."""
    accuracy_mt, work_m, cap_t = edge.accuracy_mt, edge.work_m, edge.cap_t
    total, used = 0.0, 0.0
    for t in range(len(cap_t)):
        best, work = 0.0, 0.0
        for m in held:
            if accuracy_mt[m, t] > 0:
                net = accuracy_mt[m, t] - price_t[t] - work_price * work_m[m]
                if net > best:
                    best, work = net, work_m[m]
        total += cap_t[t] * best
        used += cap_t[t] * work
    return total, used
