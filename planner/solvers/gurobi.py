"""Gurobi through gurobipy (extra `gurobi`), where its licence covers the program's size."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from cluster.extras import import_extra
from planner.solvers.program import (
    FloatArray,
    LinearProgram,
    ProgramResult,
    ProgramStatus,
    SolverLimits,
    safe_dual_bound,
    safe_tree_bound,
)

__all__ = ["FREE_LICENCE_SIZE", "GurobiUnavailableError", "gurobi_licence", "solve_gurobi"]

FREE_LICENCE_SIZE = 2000
"""rows or columns that the licence covers which comes with gurobipy from the package registry"""
TOLERANCE = 1e-9
"""of rows and of reduced costs, the least that Gurobi takes; its own 1e-6 gave bounds that were too
low by up to 8e-6"""
INTEGER_TOLERANCE = 1e-7
"""Rounding x to 0 or 1 must not break a memory budget by more than `evaluate` forgives."""


class GurobiUnavailableError(RuntimeError):
    """Gurobi has no licence here, or its licence is too small."""


def solve_gurobi(
    program: LinearProgram, limits: SolverLimits, start_v: FloatArray | None = None
) -> ProgramResult:
    """Solve `program`. Raises `MissingExtraError` without gurobipy, and `GurobiUnavailableError`
    when the licence does not cover the program."""
    begun = time.perf_counter()
    gurobipy = import_extra("gurobipy", "gurobi", "the solver 'gurobi'")
    try:
        with _quiet_model(gurobipy) as model:
            return _solve(gurobipy, model, program, limits, start_v, begun)
    except gurobipy.GurobiError as error:
        raise GurobiUnavailableError(f"Gurobi: {error}") from None


def gurobi_licence() -> tuple[int | None, str]:
    """(the most rows or columns that this machine's licence covers, None for any number; what
    Gurobi says where it cannot be used). Raises `MissingExtraError` without gurobipy."""
    gurobipy = import_extra("gurobipy", "gurobi", "the solver 'gurobi'")
    try:
        with _quiet_model(gurobipy) as model:
            model.addMVar(FREE_LICENCE_SIZE + 1, ub=1.0)
            try:
                model.optimize()
            except gurobipy.GurobiError as error:
                if error.errno != gurobipy.GRB.Error.SIZE_LIMIT_EXCEEDED:
                    raise
                return FREE_LICENCE_SIZE, ""
    except gurobipy.GurobiError as error:
        return None, str(error)
    return None, ""


@contextmanager
def _quiet_model(gurobipy: Any) -> Iterator[Any]:
    """A model without a word on the terminal. Raises Gurobi's error where there is no licence."""
    with gurobipy.Env(empty=True) as env:
        env.setParam("OutputFlag", 0)
        env.setParam("LogToConsole", 0)
        env.start()
        with gurobipy.Model(env=env) as model:
            yield model


def _solve(
    gurobipy: Any,
    model: Any,
    program: LinearProgram,
    limits: SolverLimits,
    start_v: FloatArray | None,
    begun: float,
) -> ProgramResult:
    grb = gurobipy.GRB
    for name, value in (
        ("Threads", limits.threads),
        ("Seed", limits.seed),
        ("TimeLimit", max(limits.time_limit_s, 0.01)),
        ("MIPGap", limits.gap),
        ("FeasibilityTol", TOLERANCE),
        ("OptimalityTol", TOLERANCE),
        ("IntFeasTol", INTEGER_TOLERANCE),
    ):
        model.setParam(name, value)
    scale = float(np.abs(program.objective_v).max(initial=0.0)) or 1.0
    kinds = np.where(program.integer_v, grb.INTEGER, grb.CONTINUOUS)
    x = model.addMVar(
        len(program.upper_v), ub=program.upper_v, obj=program.objective_v / scale, vtype=kinds
    )
    rows = model.addConstr(program.matrix.tocsr() @ x <= program.rhs_r)
    model.ModelSense = grb.MAXIMIZE
    if start_v is not None:
        x.Start = start_v
    model.optimize()
    ends = {grb.OPTIMAL: ProgramStatus.OPTIMAL, grb.TIME_LIMIT: ProgramStatus.TIME_LIMIT}
    status = ends.get(model.Status, ProgramStatus.FAILED)
    found = model.SolCount > 0
    x_v = np.clip(np.array(x.X), 0.0, program.upper_v) if found else None
    objective = float(program.objective_v @ x_v) if x_v is not None else -math.inf
    dual_r = None
    if program.has_integers:
        bound = safe_tree_bound(program, float(model.ObjBound) * scale, objective, TOLERANCE)
    else:
        dual_r = np.abs(np.array(rows.Pi)) * scale if found else np.zeros(len(program.rhs_r))
        bound = safe_dual_bound(program, dual_r)
    runtime_s = time.perf_counter() - begun
    nodes = int(model.NodeCount)
    return ProgramResult(status, x_v, objective, bound, dual_r, "Gurobi", runtime_s, nodes)
