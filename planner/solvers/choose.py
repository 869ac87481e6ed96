"""Which solver takes a program: Gurobi where its licence covers the size, HiGHS otherwise."""

from __future__ import annotations

from typing import Literal

from cluster.extras import MissingExtraError
from planner.solvers.gurobi import FREE_LICENCE_SIZE, GurobiUnavailableError, solve_gurobi
from planner.solvers.highs import solve_highs
from planner.solvers.program import FloatArray, LinearProgram, ProgramResult, SolverLimits
from planner.solvers.scaling import scaled

__all__ = ["SolverName", "solve_program"]

SolverName = Literal["auto", "highs", "gurobi"]


def solve_program(
    program: LinearProgram,
    limits: SolverLimits,
    solver: SolverName = "auto",
    start_v: FloatArray | None = None,
) -> ProgramResult:
    """Solve `program`; the result names the solver that did it.

    `auto` and `gurobi` fall back to HiGHS without a word when Gurobi's licence does not cover the
    program (`auto` does not even try beyond the free licence's size). Linear programs go to HiGHS.
    Without gurobipy `auto` is HiGHS, and `gurobi` raises `MissingExtraError`.
    """
    better = scaled(program)
    return better.unscaled(_solve(better.program, limits, solver, better.start(start_v)))


def _solve(
    program: LinearProgram, limits: SolverLimits, solver: SolverName, start_v: FloatArray | None
) -> ProgramResult:
    rows, columns = program.matrix.shape
    fits = max(rows, columns) <= FREE_LICENCE_SIZE
    wants_gurobi = solver == "gurobi" or (solver == "auto" and fits)
    if wants_gurobi and program.has_integers and rows > 0:
        try:
            return solve_gurobi(program, limits, start_v)
        except GurobiUnavailableError:
            return solve_highs(program, limits, start_v)
        except MissingExtraError:
            if solver == "gurobi":
                raise
    return solve_highs(program, limits, start_v)
