"""The best plan among some of the models, by the exact program over all of a problem at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.allocation import Allocation, tidy
from planner.edge_cost import edge_cost
from planner.options import EdgeForm
from planner.problem import Problem
from planner.programs.formulation import build_formulation
from planner.solvers import SolverLimits, SolverName, solve_program

__all__ = ["plan_among"]

BoolArray = NDArray[np.bool_]


def plan_among(
    problem: Problem,
    models: tuple[BoolArray, BoolArray],
    form: EdgeForm,
    fill: float,
    limits: SolverLimits,
    solver: SolverName,
    start: Allocation | None = None,
) -> tuple[Allocation | None, str]:
    """The plan found among `models` (c x m, e x m), sought from `start`, and which solver found it;
    None if there was no time for one."""
    model = build_formulation(
        problem, fill=fill, edge_cost=edge_cost(problem, form), choose=True,
        allowed_cm=models[0], allowed_em=models[1],
    )  # fmt: skip
    start_v = None if start is None else model.point(problem, start)
    result = solve_program(model.program, limits, solver, start_v)
    if result.x_v is None:
        return None, result.solver
    found = model.allocation(problem, result.x_v)
    return tidy(problem, found, fill=fill, batched=form == "batched"), result.solver
