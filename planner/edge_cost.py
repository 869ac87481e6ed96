"""The work that queries bring an edge, as rows of a program: F9, F6 and the paper's surrogate.

Axis letters: e edge, m model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.batches import batches_em
from planner.options import EdgeForm
from planner.problem import FloatArray, Problem

__all__ = ["EdgeCost", "edge_cost"]


@dataclass(frozen=True, eq=False)
class EdgeCost:
    """Work one window brings an edge, seconds: sum_m fixed_em 1[active] + marginal_em n_em, and
    `further_em` for every batch beyond a model's first (None: nothing).

    A program charges further batches by the part, max(0, n / B - 1): less than the truth, so its
    bounds hold, and where it is solved in whole numbers the truth itself. With `granted_em` those
    batches are all a model gets, charged in full.
    """

    fixed_em: FloatArray
    marginal_em: FloatArray
    further_em: FloatArray | None = None
    granted_em: FloatArray | None = None

    def granting(self, granted_em: FloatArray) -> EdgeCost:
        """The row when every active model is given `granted_em` (>= 1) whole batches."""
        assert self.further_em is not None
        fixed_em = self.fixed_em + self.further_em * (granted_em - 1)
        return EdgeCost(fixed_em, self.marginal_em, None, granted_em)

    @classmethod
    def batched(cls, problem: Problem) -> EdgeCost:
        """F9: setup once per batch, marginal per query."""
        return cls(problem.edge_setup_em, problem.edge_marginal_em, problem.edge_setup_em)

    def batches(self, problem: Problem) -> bool:
        """Whether this is F9: a batch has a set-up of its own, or no model has any."""
        return bool(np.any(self.fixed_em != 0)) or not np.any(problem.edge_setup_em)

    def of_edges(self, edges: NDArray[np.int64]) -> EdgeCost:
        """The rows of some edges."""
        further_em = None if self.further_em is None else self.further_em[edges]
        return EdgeCost(self.fixed_em[edges], self.marginal_em[edges], further_em)

    @classmethod
    def unbatched(cls, problem: Problem) -> EdgeCost:
        """F6 (times T_b): setup and marginal per query."""
        return cls(
            np.zeros_like(problem.edge_setup_em), problem.edge_setup_em + problem.edge_marginal_em
        )

    @classmethod
    def surrogate(cls, problem: Problem, queries_em: FloatArray, epsilon: float) -> EdgeCost:
        """The paper's linear row: nu n / (n^(k) + epsilon) + c n around n^(k) = `queries_em`, nu
        times the batches there where n^(k) fills more than one."""
        setup_em = problem.edge_setup_em * np.maximum(batches_em(problem, queries_em), 1.0)
        slope_em = setup_em / (queries_em + epsilon)
        return cls(np.zeros_like(slope_em), slope_em + problem.edge_marginal_em)


def edge_cost(problem: Problem, form: EdgeForm) -> EdgeCost:
    """The edge row of a form: F9 for `batched`, F6 for `unbatched`."""
    return EdgeCost.batched(problem) if form == "batched" else EdgeCost.unbatched(problem)
