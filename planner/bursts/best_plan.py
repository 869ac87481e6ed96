"""The best of several plans of one problem, component by component where that is possible.

Axis letters: e edge, g component.
"""

from __future__ import annotations

import numpy as np

from planner.allocation import Allocation, merge
from planner.attachments import group_of_edges
from planner.evaluate import evaluate
from planner.options import Options
from planner.problem import Problem
from planner.programs.offloading import value_by_group

__all__ = ["BestPlan"]

AS_GOOD = 1e-5
"""Relative difference of two plans for F18 or F19 that is none."""


class BestPlan:
    """What is best of the plans that were offered so far; at first, a plan that holds nothing.

    Where nothing couples components, the best of each is taken from whatever plan has it. F8
    couples all edges, F19 all clients, F18 all nodes: then plans are not mixed.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self._problem, self._options = problem, options
        self.by_group = options.objective == "mean" and options.energy is None
        self.group_e = group_of_edges(problem)
        if np.isfinite(problem.cloud_compute) or not self.by_group:
            self.group_e = np.zeros_like(self.group_e)
        self.allocation = Allocation.empty(problem)
        self.value_g = np.full(int(self.group_e.max()) + 1, -np.inf)
        self._mean = -np.inf
        self.trace: list[float] = []
        """objective of the best plan after each offer"""

    def offer(self, plan: Allocation) -> None:
        """Take over what is better in `plan`, which keeps every budget."""
        problem, options = self._problem, self._options
        if self.by_group:
            value_g = value_by_group(problem, plan, self.group_e)
            better_g = value_g > self.value_g
        else:
            evaluated = evaluate(problem, plan, energy=options.energy)
            value_g = np.array([evaluated.value(options.objective) * problem.total_load_qps])
            # Of plans that are as good for what is planned, the one with the better mean.
            same_g = np.isclose(value_g, self.value_g, rtol=AS_GOOD)
            better_g = np.where(same_g, evaluated.objective > self._mean, value_g > self.value_g)
            self._mean = evaluated.objective if better_g[0] else self._mean
        self.allocation = merge(problem, self.allocation, plan, better_g[self.group_e])
        self.value_g = np.maximum(self.value_g, value_g)
        self._note()

    def replace(self, plan: Allocation) -> None:
        """Take `plan`, which was made of the best one and is no worse."""
        self.allocation = plan
        self.value_g = value_by_group(self._problem, plan, self.group_e)
        self._note()

    def _note(self) -> None:
        load_qps = max(self._problem.total_load_qps, 1e-300)
        self.trace.append(float(self.value_g.sum()) / load_qps)
