"""Dual prices of the programs, in the units of the budgets.

Axis letters: c client, e edge, a attachment, t task.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.problem import FloatArray, Problem

__all__ = ["Prices"]


@dataclass(frozen=True, eq=False)
class Prices:
    """Dual prices of a linear program, in accuracy-weighted queries/s per unit of each budget."""

    share_ct: FloatArray
    """F2, per unit of share."""
    compute_c: FloatArray
    """F5, per busy second/s."""
    uplink_c: FloatArray
    """F7 at clients, per byte/s."""
    uplink_e: FloatArray
    """F7 at edges, per byte/s."""
    uplink_a: FloatArray
    """F7 at attachments, per byte/s; 0 where they have no limit of their own."""
    window_e: FloatArray
    """F9 (or F6), per second of work in a window."""
    service_et: FloatArray
    """Value of one more query/s of edge service, per query/s."""
    cloud: float
    """F8, per busy second/s."""

    @classmethod
    def zero(cls, problem: Problem) -> Prices:
        """Everything is free."""
        C, E, T = len(problem.clients), len(problem.edges), len(problem.tasks)
        return cls(
            np.zeros((C, T)), np.zeros(C), np.zeros(C), np.zeros(E),
            np.zeros(len(problem.client_of_a)), np.zeros(E), np.zeros((E, T)), 0.0,
        )  # fmt: skip

    def of_edges(self, edges: NDArray[np.int64]) -> FloatArray:
        """(rho_et..., sigma_e..., eta_e...) of decomposition: service, backhaul and work of these
        edges."""
        return np.concatenate(
            [self.service_et[edges].ravel(), self.uplink_e[edges], self.window_e[edges]]
        )

    def link_a(self, problem: Problem) -> FloatArray:
        """Price of a byte/s from a client to its edge by each attachment."""
        return np.asarray(self.uplink_c[problem.client_of_a] + self.uplink_a)
