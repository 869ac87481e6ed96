"""The minimum of a convex, piecewise linear function of one price, found by its tangents.

All three kernels price one budget: they minimise over a price x >= 0

    h(x) = (best gains when a unit of the budget costs x) + x * budget.

The gains are a maximum of finitely many linear functions of x, so h is convex and piecewise
linear, and its slope at x is budget - use(x): what the best answers at x leave of the budget.

Keep one point left of the minimum (slope < 0, over budget) and one right of it (slope >= 0). No
value of h lies below both tangents, and the lowest value they allow is where they meet: that
is the next point. If h is there what the tangents said, it is the minimum. If not, the point
replaces the end on its own side. The search never comes back to a piece or a kink of h where it
has been, so it ends after at most twice as many steps as h has pieces. MAX_STEPS only guards
against rounding errors, and stopping early is safe: h at *any* price bounds what the budget
allows (weak duality, F10).
"""

from __future__ import annotations

from typing import NamedTuple

from planner.decomposition.compiled import compiled

__all__ = ["MAX_STEPS", "Tangent", "is_minimum", "price_where_they_meet", "value_where_they_meet"]

MAX_STEPS = 60
RELATIVE_TOLERANCE = 1e-12


class Tangent(NamedTuple):
    """h at one price: its value there and its slope (budget minus use)."""

    price: float
    value: float
    slope: float


@compiled
def price_where_they_meet(left: Tangent, right: Tangent) -> float:
    """The price at which two tangents are equal; their slopes must differ."""
    rise = right.value - left.value + left.slope * left.price - right.slope * right.price
    return rise / (left.slope - right.slope)


@compiled
def value_where_they_meet(left: Tangent, price: float) -> float:
    """The value of the left tangent at `price`: the lowest that h can be there."""
    return left.value + left.slope * (price - left.price)


@compiled
def is_minimum(value: float, lowest: float) -> bool:
    """Whether h, which is `value` where it can be no less than `lowest`, has its minimum there."""
    return value <= lowest + RELATIVE_TOLERANCE * (abs(lowest) + 1e-9)
