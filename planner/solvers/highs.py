"""HiGHS through highspy: linear and mixed-integer programs."""

from __future__ import annotations

import time

import highspy
import numpy as np

from planner.solvers.program import (
    FloatArray,
    LinearProgram,
    ProgramResult,
    ProgramStatus,
    SolverLimits,
    safe_dual_bound,
    safe_tree_bound,
)

__all__ = ["PRIMAL_SIMPLEX", "QuietHighs", "solve_highs"]

COLUMN_WISE = 1
MAXIMISE = -1
PRIMAL_SIMPLEX = 4
LARGE = 20_000
"""columns of a linear program from which its interior point is found sooner than its vertices"""


class QuietHighs(highspy.Highs):
    """HiGHS that never prints: the package's own constructor writes a banner to stdout, which
    would break `--json`. It only adds callbacks, which are not used here."""

    def __init__(self) -> None:
        super(highspy.Highs, self).__init__()
        self.setOptionValue("output_flag", False)


def solve_highs(
    program: LinearProgram, limits: SolverLimits, start_v: FloatArray | None = None
) -> ProgramResult:
    """Solve `program`; `start_v` is a feasible point to begin a mixed-integer search from."""
    begun = time.perf_counter()
    solver = QuietHighs()
    solver.setOptionValue("threads", limits.threads)
    solver.setOptionValue("random_seed", limits.seed)
    solver.setOptionValue("time_limit", max(limits.time_limit_s, 0.01))
    solver.setOptionValue("mip_rel_gap", limits.gap)
    solver.setOptionValue("mip_abs_gap", 0.0)
    for name in ("mip", "primal", "dual"):
        solver.setOptionValue(f"{name}_feasibility_tolerance", limits.tolerance)
    # Tolerances are absolute on the objective's coefficients: make the largest of them 1.
    scale = float(np.abs(program.objective_v).max(initial=0.0)) or 1.0
    _pass(solver, program, scale)
    if not program.has_integers:
        _choose_method(solver, program)
    if start_v is not None and program.has_integers:
        _start(solver, start_v)
    solver.run()
    return _result(solver, program, limits, scale, time.perf_counter() - begun)


def _pass(solver: highspy.Highs, program: LinearProgram, scale: float) -> None:
    rows, columns = program.matrix.shape
    integrality_v = program.integer_v.astype(np.int32)
    solver.passModel(
        columns, rows, program.matrix.nnz, COLUMN_WISE, MAXIMISE, 0.0,
        program.objective_v / scale, np.zeros(columns), program.upper_v,
        np.full(rows, -highspy.kHighsInf), program.rhs_r,
        program.matrix.indptr[:-1].astype(np.int32), program.matrix.indices.astype(np.int32),
        program.matrix.data, integrality_v,
    )  # fmt: skip


def _choose_method(solver: highspy.Highs, program: LinearProgram) -> None:
    """How to solve a linear program. Nothing (all columns 0) is feasible in those of this package
    where no right side is negative, so primal simplex needs no first phase, and presolve takes
    longer than it saves: half the time of HiGHS' own choice over the programs of a plan. Large
    ones go to the interior point method, whose crossover ends at a vertex as well."""
    if program.matrix.shape[1] > LARGE:
        solver.setOptionValue("solver", "ipm")
    elif (program.rhs_r >= 0).all():
        solver.setOptionValue("simplex_strategy", PRIMAL_SIMPLEX)
        solver.setOptionValue("presolve", "off")


def _start(solver: highspy.Highs, start_v: FloatArray) -> None:
    solution = highspy.HighsSolution()
    solution.col_value = start_v.tolist()
    solver.setSolution(solution)


def _result(
    solver: highspy.Highs,
    program: LinearProgram,
    limits: SolverLimits,
    scale: float,
    runtime_s: float,
) -> ProgramResult:
    outcome = solver.getModelStatus()
    info = solver.getInfo()
    ends = {
        highspy.HighsModelStatus.kOptimal: ProgramStatus.OPTIMAL,
        highspy.HighsModelStatus.kModelEmpty: ProgramStatus.OPTIMAL,
        highspy.HighsModelStatus.kTimeLimit: ProgramStatus.TIME_LIMIT,
    }
    status = ends.get(outcome, ProgramStatus.FAILED)
    solution = solver.getSolution()
    feasible = info.primal_solution_status == int(highspy.SolutionStatus.kSolutionStatusFeasible)
    x_v = np.clip(np.array(solution.col_value), 0.0, program.upper_v) if feasible else None
    objective = float(program.objective_v @ x_v) if x_v is not None else -np.inf
    dual_r: FloatArray | None = None
    if program.has_integers:
        bound = safe_tree_bound(
            program, float(info.mip_dual_bound) * scale, objective, limits.tolerance
        )
    else:
        # Prices of a maximisation come back with the sign of the minimised form.
        dual_r = np.abs(np.array(solution.row_dual)) * scale
        if len(dual_r) != program.matrix.shape[0]:
            dual_r = np.zeros(program.matrix.shape[0])
        bound = safe_dual_bound(program, dual_r)
    nodes = max(int(info.mip_node_count), 0)
    return ProgramResult(status, x_v, objective, bound, dual_r, "HiGHS", runtime_s, nodes)
