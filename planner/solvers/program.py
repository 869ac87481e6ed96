"""A program for a solver, and what a solver returns.

Axis letters: v variable (column), r row.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

__all__ = [
    "LinearProgram",
    "ProgramResult",
    "ProgramStatus",
    "SolverLimits",
    "safe_dual_bound",
    "safe_tree_bound",
]

FloatArray = NDArray[np.float64]
EPSILON = float(np.finfo(np.float64).eps)


TREE_TOLERANCE = 5e-7
"""A solver cuts off branches with a feasibility tolerance: 1e-7 as both are set, and some for sums.
Relative to the bound."""


class ProgramStatus(StrEnum):
    """How a solver's run ended."""

    OPTIMAL = "optimal"
    TIME_LIMIT = "time_limit"
    FAILED = "failed"


@dataclass(frozen=True)
class SolverLimits:
    """When a solver stops: relative gap, wall seconds, threads, seed, tolerance."""

    gap: float = 1e-4
    time_limit_s: float = 60.0
    threads: int = 1
    seed: int = 0
    tolerance: float = 1e-7
    """of rows, of reduced costs and of whole numbers. Rounding x to 0 or 1 must not break a memory
    budget by more than `evaluate` forgives."""


@dataclass(frozen=True)
class LinearProgram:
    """Maximise objective_v . x subject to matrix @ x <= rhs_r, 0 <= x <= upper_v.

    `integer_v` marks the variables that must be whole. A row may have been divided by
    `row_scale_r` (so that its budget is 1): the price per original unit is dual / row_scale.
    """

    objective_v: FloatArray
    upper_v: FloatArray
    integer_v: NDArray[np.bool_]
    matrix: sp.csc_matrix
    rhs_r: FloatArray
    row_scale_r: FloatArray

    @property
    def has_integers(self) -> bool:
        """Whether any variable must be whole."""
        return bool(self.integer_v.any())


@dataclass(frozen=True)
class ProgramResult:
    """A solver's answer: x (None if it found nothing), its objective, a proven upper bound.

    `dual_r` are prices of the rows (>= 0), None for mixed-integer programs.
    """

    status: ProgramStatus
    x_v: FloatArray | None
    objective: float
    bound: float
    dual_r: FloatArray | None
    solver: str
    runtime_s: float
    nodes: int = 0


def safe_dual_bound(program: LinearProgram, dual_r: FloatArray) -> float:
    """Upper bound on the program's optimum that holds for ANY prices, whatever the solver's
    tolerances (weak duality over the box, rounded outwards): F10.

    For y >= 0: optimum <= y.b + sum_v max(0, c_v - (A^T y)_v) u_v.
    """
    y_r = np.maximum(np.nan_to_num(dual_r, nan=0.0, posinf=0.0, neginf=0.0), 0.0)
    reduced_v = program.objective_v - program.matrix.T @ y_r
    magnitude_v = np.abs(program.objective_v) + abs(program.matrix).T @ y_r
    entries_v = np.diff(program.matrix.indptr) + 8
    error_v = 4.0 * EPSILON * entries_v * magnitude_v
    gains_v = np.maximum(reduced_v + error_v, 0.0) * program.upper_v
    value = float(y_r @ program.rhs_r) + float(gains_v.sum())
    terms = len(y_r) + len(gains_v) + 8
    absolute = float(y_r @ np.abs(program.rhs_r)) + float(gains_v.sum())
    return value + 4.0 * EPSILON * terms * absolute


def safe_tree_bound(
    program: LinearProgram, bound: float, objective: float, dual_tolerance: float
) -> float:
    """A branch-and-bound solver's bound, widened by what its tolerances allow (F10).

    The linear programs of its tree are solved up to reduced costs of `dual_tolerance`, where the
    largest objective coefficient is 1: each variable may be worth so much more. `objective` is that
    of the best point found. Without any bound, every variable at its limit is one.
    """
    if not np.isfinite(bound) or abs(bound) > 1e90:
        return float(np.maximum(program.objective_v, 0.0) @ program.upper_v)
    largest = float(np.abs(program.objective_v).max(initial=0.0))
    allowed = dual_tolerance * len(program.objective_v) * largest
    return max(bound + TREE_TOLERANCE * abs(bound) + allowed, objective)
