"""Whether what is taken fits a budget: one tolerance for every policy and for `evaluate`.

Models of 0.1 and 0.2 GB fill a memory of 0.3 GB, but in floats 0.3 - 0.2 - 0.1 is below 0. Whoever
decides by such a sum calls a plan of half the optimum optimal.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["TOLERANCE", "fitted", "room"]

Amount = TypeVar("Amount", float, NDArray[np.float64])

TOLERANCE = 1e-6
"""Relative to the budget; the tolerance of the solvers, far below any measurement."""


def room(budget: Amount) -> Amount:
    """The most that may be taken of `budget`."""
    return budget * (1 + TOLERANCE)


def fitted(budget: Amount) -> Amount:
    """What a program lets whole models take of `budget`: what `room` forgives, less a tenth for the
    solver's own tolerance (1e-7), which must not take a plan over it."""
    return budget * (1 + 0.9 * TOLERANCE)
