"""Programs in a solver's own units: the same optimum, to the last digit that matters."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from planner.solvers import LinearProgram, SolverLimits, solve_program
from planner.solvers.program import safe_tree_bound
from planner.solvers.scaling import scaled


def overloaded(integer: bool) -> LinearProgram:
    """A client could send 1e9 queries/s and may send 50, another 1 of 1: 51 right answers/s.

    `integer`: a model of each must be loaded, and only one fits.
    """
    return LinearProgram(
        objective_v=np.array([1e9, 1.0, 0.0, 0.0]),
        upper_v=np.ones(4),
        integer_v=np.array([False, False, integer, integer]),
        matrix=sp.csc_matrix([
            [2e7, 0.0, 0.0, 0.0], [1.0, 0.0, -5e-8, 0.0], [0.0, 1.0, 0.0, -1.0],
            [0.0, 0.0, 1.0, 1.0],
        ]),
        rhs_r=np.array([1.0, 0.0, 0.0, 1.0 if integer else 2.0]),
        row_scale_r=np.ones(4),
    )  # fmt: skip


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
def test_a_share_of_a_thousand_millionth_is_not_taken_for_nothing(solver: str) -> None:
    found = solve_program(overloaded(True), SolverLimits(gap=1e-7), solver)  # type: ignore[arg-type]
    assert found.objective == pytest.approx(50.0, rel=1e-6)
    assert 50.0 <= found.bound <= 50.0 * (1 + 1e-4)
    assert found.x_v is not None
    assert found.x_v[0] == pytest.approx(5e-8, rel=1e-6)


def test_prices_are_those_of_the_given_program() -> None:
    found = solve_program(overloaded(False), SolverLimits())
    assert found.objective == pytest.approx(51.0, rel=1e-9)
    assert 51.0 <= found.bound <= 51.0 * (1 + 1e-6)
    assert found.dual_r is not None
    assert found.dual_r[0] == pytest.approx(50.0, rel=1e-6)  # right answers/s a unit of row 0


def test_scaling_rounds_nothing_and_keeps_whole_numbers() -> None:
    program = overloaded(True)
    better = scaled(program)
    assert better.column_v[2:].tolist() == [1.0, 1.0]
    for factor in (better.column_v, better.row_r):
        assert np.array_equal(np.exp2(np.round(np.log2(factor))), factor)
    back = sp.diags(1 / better.row_r) @ better.program.matrix @ sp.diags(1 / better.column_v)
    assert np.array_equal(back.toarray(), program.matrix.toarray())
    start_v = better.start(np.ones(4))
    assert start_v is not None
    assert np.array_equal(start_v * better.column_v, np.ones(4))


def test_a_tree_s_bound_is_widened_by_what_its_tolerances_allow() -> None:
    program = overloaded(True)
    assert safe_tree_bound(program, 50.0, 50.0, 1e-9) >= 50.0 + 1e-9 * 4 * 1e9
    assert safe_tree_bound(program, np.inf, 50.0, 1e-9) == 1e9 + 1.0
    assert safe_tree_bound(program, 40.0, 50.0, 0.0) == 50.0
