"""Thin, typed wrappers around linear and mixed-integer solvers."""

from planner.solvers.choose import SolverName, solve_program
from planner.solvers.program import LinearProgram, ProgramResult, ProgramStatus, SolverLimits

__all__ = [
    "LinearProgram",
    "ProgramResult",
    "ProgramStatus",
    "SolverLimits",
    "SolverName",
    "solve_program",
]
