"""The lines that a policy plans with in the place of measured curves (F15), step by step.

The first ones are those that were fitted to the measurements. Each next one lies above the curve
near the batch sizes of the plan before, in a range that narrows from step to step. A model that a
plan does not use keeps its line, so that a mistake about it is not made twice.

Axis letters: e edge, m model.
"""

from __future__ import annotations

import numpy as np

from planner.allocation import Allocation
from planner.batch_work import mean_work_em
from planner.curve_lines import Lines, first_lines, lines_above
from planner.options import EdgeForm
from planner.problem import FloatArray, Problem

__all__ = ["LineSteps"]

FIRST_NEAR, LEAST_NEAR = 2.0, 1.1
"""A size is near that of the plan before up to this factor."""


class LineSteps:
    """The lines of one planning run; nothing to do for a problem without curves, or for edges that
    do not batch (F6): there the time of one query counts, which the first lines have."""

    def __init__(self, problem: Problem, form: EdgeForm) -> None:
        self._problem = problem
        self._moves = problem.curved and form == "batched"
        self._near = FIRST_NEAR
        self._lines: Lines | None = first_lines(problem, form) if problem.curved else None

    def of(self, problem: Problem) -> Problem:
        """`problem`, of the same edges and models, with the lines of this step."""
        return problem if self._lines is None else self._lines.of(problem)

    def meet(self, plan: Allocation, tolerance: float) -> bool:
        """Whether lines say of the work of every edge's window what curves say, within a relative
        `tolerance`."""
        if self._lines is None or not self._moves:
            return True
        queries_em = self._queries_em(plan)
        work_e = mean_work_em(self._problem, queries_em).sum(axis=1)
        told_e = self._lines.work_em(self._problem, queries_em).sum(axis=1)
        return bool(np.all(np.abs(told_e - work_e) <= tolerance * work_e))

    def follow(self, plan: Allocation) -> None:
        """Take the lines near the batch sizes of `plan`."""
        if self._lines is None or not self._moves:
            return
        self._lines = lines_above(self._problem, self._queries_em(plan), self._lines, self._near)
        self._near = max(1 + 0.5 * (self._near - 1), LEAST_NEAR)

    def _queries_em(self, plan: Allocation) -> FloatArray:
        return self._problem.window_e[:, None] * plan.edge_rate_em(self._problem)
