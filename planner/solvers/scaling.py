"""Programs in numbers that a solver's tolerances are made for.

A solver takes a value below about 1e-7 for 0. Where a client could send 1e9 queries a second and a
millionth of them is answered, that share is the whole plan. So every variable is counted in the
most that the budgets leave it: then all that matters is between 0 and 1. Every factor is a power of
two, so nothing is rounded.

Example: max 1e9 p with p <= 1 and 1e7 p <= 1 has p <= 1e-7. With p = 2^-23 q it reads
max 119 q with 1.19 q <= 1.

Axis letters: v variable (column), r row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from planner.solvers.program import FloatArray, LinearProgram, ProgramResult

__all__ = ["Scaled", "scaled"]


@dataclass(frozen=True)
class Scaled:
    """`program` is the given one with x_v = column_v x'_v and every row times row_r."""

    program: LinearProgram
    column_v: FloatArray
    row_r: FloatArray

    def start(self, x_v: FloatArray | None) -> FloatArray | None:
        """A point of the given program in the units of `program`."""
        return None if x_v is None else x_v / self.column_v

    def unscaled(self, result: ProgramResult) -> ProgramResult:
        """The result in the units of the given program; objective and bound are the same."""
        x_v, dual_r = result.x_v, result.dual_r
        return replace(
            result,
            x_v=None if x_v is None else x_v * self.column_v,
            dual_r=None if dual_r is None else dual_r * self.row_r,
        )


def scaled(program: LinearProgram) -> Scaled:
    """Count each continuous variable in the most that rows of its own kind leave it.

    A row without negative entries bounds each of its variables by rhs / entry. Whole numbers stay
    as they are.
    """
    matrix = program.matrix
    rows, entry = matrix.indices, matrix.data
    columns = np.repeat(np.arange(matrix.shape[1]), np.diff(matrix.indptr))
    positive_r = np.ones(matrix.shape[0], dtype=bool)
    positive_r[rows[entry < 0]] = False
    bounding = positive_r[rows] & (entry > 0)
    most_v = np.array(program.upper_v, dtype=np.float64)
    most = program.rhs_r[rows[bounding]] / entry[bounding]
    np.minimum.at(most_v, columns[bounding], most)
    given_v = program.integer_v | ~(most_v > 0) | ~np.isfinite(most_v)
    column_v = _power_of_two(np.where(given_v, 1.0, most_v))
    new = entry * column_v[columns]
    largest_r = np.zeros(matrix.shape[0])
    np.maximum.at(largest_r, rows, np.abs(new))
    row_r = _power_of_two(1 / np.where(largest_r > 0, largest_r, 1.0))
    new *= row_r[rows]
    return Scaled(
        LinearProgram(
            program.objective_v * column_v, program.upper_v / column_v, program.integer_v,
            sp.csc_matrix((new, rows, matrix.indptr), shape=matrix.shape),
            program.rhs_r * row_r, program.row_scale_r * row_r,
        ),
        column_v, row_r,
    )  # fmt: skip


def _power_of_two(values: FloatArray) -> FloatArray:
    """The next smaller power of two."""
    return np.exp2(np.floor(np.log2(values)))
