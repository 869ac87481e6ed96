"""An upper bound on the least accuracy, or on the geometric mean, from the linear relaxation (F19).

Components are apart, as for F1: the least client of all is the least of some component, and
logarithms add up. Where their plans together overload the cloud (F8), all are bounded together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from planner.attachments import components
from planner.client_accuracy import Objective, answerable_c
from planner.edge_cost import EdgeCost
from planner.fairness.program import fair_program
from planner.fairness.search import relaxed_value
from planner.fits import TOLERANCE
from planner.options import Options
from planner.problem import Problem
from planner.programs.bound import JOINT_SIZE
from planner.programs.formulation import build_formulation

__all__ = ["fair_bound_qps", "joined_bound", "whole_value"]

LEAST_S = 0.05


def fair_bound_qps(
    problem: Problem, cost_of: Callable[[Problem], EdgeCost], edge_fill: float, options: Options
) -> float:
    """A bound on the value of `options.objective` times the load, right answers/s.

    `cost_of` gives the edge row of a piece of the problem, `edge_fill` the share of the windows
    that it may use.
    """
    begun_s = time.perf_counter()
    counted_c = answerable_c(problem)
    scaled = problem.changed(edge_compute_e=problem.edge_compute_e * edge_fill / options.fill)

    def bound_of(piece: Problem, own_c: NDArray[np.bool_]) -> float:
        left_s = options.time_limit_s - (time.perf_counter() - begun_s)
        model = build_formulation(piece, fill=options.fill, edge_cost=cost_of(piece), choose=True)
        program = fair_program(piece, model, own_c)
        return relaxed_value(program, options.objective, max(left_s, LEAST_S))

    parts = components(scaled)
    bound = joined_bound(
        [bound_of(part.piece(scaled), counted_c[part.clients]) for part in parts],
        options.objective,
    )
    size = len(problem.clients) * len(problem.models) * len(problem.tasks)
    if np.isfinite(problem.cloud_compute) and size <= JOINT_SIZE:
        bound = min(bound, bound_of(scaled, counted_c))
    return whole_value(bound, int(counted_c.sum()), options.objective) * problem.total_load_qps


def joined_bound(bounds: Sequence[float], objective: Objective) -> float:
    """The bound of a problem from those of its components (`Found.bound`)."""
    return float(min(bounds, default=0.0)) if objective == "least" else float(sum(bounds))


def whole_value(bound: float, clients: int, objective: Objective) -> float:
    """A bound of `clients` that count, in the units of the objective; with what `room` allows."""
    if clients == 0:
        return 0.0
    value = bound if objective == "least" else float(np.exp(bound / clients))
    return min(value * (1 + TOLERANCE), 1.0)
