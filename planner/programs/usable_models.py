"""Which models a program may put where.

Axis letters: c client, e edge, m model.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.fits import room
from planner.problem import Problem

__all__ = ["usable_models"]

BoolArray = NDArray[np.bool_]


def usable_models(
    problem: Problem, allowed_cm: BoolArray | None = None, allowed_em: BoolArray | None = None
) -> tuple[BoolArray, BoolArray]:
    """Models that are allowed (all, if None), serve something and fit the node's memory alone:
    c x m and e x m."""
    p = problem
    useful_m = (p.accuracy_mt > 0).any(axis=1)
    fits_cm = p.client_model_bytes_cm <= room(p.client_memory_c)[:, None]
    fits_em = p.edge_model_bytes_em <= room(p.edge_memory_e)[:, None]
    usable_cm = useful_m & fits_cm & np.isfinite(p.client_model_bytes_cm)
    usable_em = useful_m & fits_em & np.isfinite(p.edge_model_bytes_em)
    if allowed_cm is not None:
        usable_cm = usable_cm & allowed_cm
    if allowed_em is not None:
        usable_em = usable_em & allowed_em
    return usable_cm, usable_em
