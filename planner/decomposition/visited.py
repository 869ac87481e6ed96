"""The choices of edge models that were looked at, and what every linear cut says of each.

Both grow as a search goes on, and each bound is worked out once: when its choice or its cut comes.

Axis suffixes: v choice that was visited, k cut, j model at an edge, t task.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from planner.decomposition.grown import Grown
from planner.problem import FloatArray

__all__ = ["Visited"]

BoolArray = NDArray[np.bool_]


class Visited:
    """`own` are the places j of each edge's models."""

    def __init__(self, own: Sequence[slice]) -> None:
        self._own = own
        self.choices: list[BoolArray] = []
        self._known: set[bytes] = set()
        self._bound_vk: list[Grown] = []

    def __len__(self) -> int:
        return len(self.choices)

    def add(self, active_j: BoolArray, base_k: FloatArray, gain_kjt: FloatArray,
            cost_kj: FloatArray) -> None:  # fmt: skip
        """A choice, bounded by all cuts so far; nothing where it is one of them already."""
        key = active_j.tobytes()
        if key in self._known:
            return
        self._known.add(key)
        bound_k = base_k - cost_kj[:, active_j].sum(axis=1)
        for own in self._own:
            covered_kt = gain_kjt[:, own][:, active_j[own]].max(axis=1, initial=0.0)
            bound_k = bound_k + covered_kt.sum(axis=1)
        self.choices.append(active_j)
        bounds = Grown()
        bounds.extend(bound_k)
        self._bound_vk.append(bounds)

    def cut(self, base: float, gain_jt: FloatArray, cost_j: FloatArray) -> None:
        """A new cut, for all choices so far."""
        if not self.choices:
            return
        active_vj = np.array(self.choices)
        bound_v = base - active_vj @ cost_j
        for own in self._own:
            held_vjt = np.where(active_vj[:, own, None], gain_jt[own], 0.0)
            bound_v = bound_v + held_vjt.max(axis=1, initial=0.0).sum(axis=1)
        for bounds, bound in zip(self._bound_vk, bound_v, strict=True):
            bounds.append(bound)

    def bound_k(self, v: int) -> FloatArray:
        """What every cut says of choice v."""
        return self._bound_vk[v].rows

    def highest(
        self, threshold: float, left_out: Collection[bytes]
    ) -> tuple[float, BoolArray] | None:
        """The choice, not `left_out`, whose lowest bound is highest, with that bound; None where
        no such choice has one above `threshold`."""
        best: tuple[float, BoolArray] | None = None
        for active_j, bounds in zip(self.choices, self._bound_vk, strict=True):
            bound = float(bounds.rows.min(initial=np.inf))
            higher = bound > (threshold if best is None else best[0])
            if higher and active_j.tobytes() not in left_out:
                best = bound, active_j
        return best

    def tightest(self, each: int) -> set[int]:
        """The `each` lowest cuts of every choice."""
        return {int(k) for v in range(len(self)) for k in np.argsort(self.bound_k(v))[:each]}
