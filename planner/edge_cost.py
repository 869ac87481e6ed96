"""The work that queries bring an edge, as rows of a program: F9, F6 and the paper's surrogate.

Axis letters: e edge, m model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planner.options import EdgeForm
from planner.problem import FloatArray, Problem

__all__ = ["EdgeCost", "edge_cost"]


@dataclass(frozen=True, eq=False)
class EdgeCost:
    """Work one window brings an edge: sum_m fixed_em 1[active] + marginal_em n_em, seconds."""

    fixed_em: FloatArray
    marginal_em: FloatArray

    @classmethod
    def batched(cls, problem: Problem) -> EdgeCost:
        """F9: setup once per window, marginal per query."""
        return cls(problem.edge_setup_em, problem.edge_marginal_em)

    @classmethod
    def unbatched(cls, problem: Problem) -> EdgeCost:
        """F6 (times T_b): setup and marginal per query."""
        return cls(
            np.zeros_like(problem.edge_setup_em), problem.edge_setup_em + problem.edge_marginal_em
        )

    @classmethod
    def surrogate(cls, problem: Problem, queries_em: FloatArray, epsilon: float) -> EdgeCost:
        """The paper's linear row: nu n / (n^(k) + epsilon) + c n around n^(k) = `queries_em`."""
        slope_em = problem.edge_setup_em / (queries_em + epsilon)
        return cls(np.zeros_like(slope_em), slope_em + problem.edge_marginal_em)


def edge_cost(problem: Problem, form: EdgeForm) -> EdgeCost:
    """The edge row of a form: F9 for `batched`, F6 for `unbatched`."""
    return EdgeCost.batched(problem) if form == "batched" else EdgeCost.unbatched(problem)
