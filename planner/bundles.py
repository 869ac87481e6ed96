"""F14: sets of tasks that clients ask of one image together, as a problem states them.

Axis letters: c client, b bundle, t task.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planner.fits import TOLERANCE
from planner.problem_file import ProblemError

__all__ = ["alone_ct", "check_bundles"]

FloatArray = NDArray[np.float64]
DUST = 1e-9
"""Part of a load below which what bundles leave of it is rounding."""


def check_bundles(
    bundle_bt: FloatArray,
    bundle_load_cb: FloatArray,
    load_ct: FloatArray,
    clients: Sequence[str],
    tasks: Sequence[str],
) -> None:
    """Raise `ProblemError` for a set of fewer than two tasks, a set that is stated twice, and a
    load that is smaller than what bundles ask of it."""
    stated: dict[bytes, int] = {}
    for b, asked_t in enumerate(bundle_bt):
        if not np.isin(asked_t, (0.0, 1.0)).all():
            t = int(np.argmax(~np.isin(asked_t, (0.0, 1.0))))
            raise ProblemError(f"bundle_bt.{b}.{t}: must be 0 or 1 (got {asked_t[t].item()!r})")
        if asked_t.sum() < 2:
            raise ProblemError(
                f"bundle_bt.{b}: must be of two tasks or more; what is asked alone stands in "
                "load_ct only"
            )
        first = stated.setdefault(asked_t.tobytes(), b)
        if first != b:
            raise ProblemError(f"bundle_bt.{b}: bundle_bt.{first} is the same set of tasks")
    together_ct = bundle_load_cb @ bundle_bt
    short_ct = together_ct > load_ct * (1 + TOLERANCE)
    if short_ct.any():
        c, t = (int(place) for place in np.argwhere(short_ct)[0])
        raise ProblemError(
            f"load_ct.{c}.{t}: {clients[c]!r} asks {tasks[t]!r} {load_ct[c, t]:g} times a second "
            f"in all, and {together_ct[c, t]:g} times in its bundles alone"
        )


def alone_ct(bundle_bt: FloatArray, bundle_load_cb: FloatArray, load_ct: FloatArray) -> FloatArray:
    """Queries/s of each task that clients ask of an image of their own."""
    left_ct = load_ct - bundle_load_cb @ bundle_bt
    return np.where(left_ct > DUST * load_ct, left_ct, 0.0)
