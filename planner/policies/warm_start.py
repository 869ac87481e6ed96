"""The plan that a search starts from, as arrays of the problem."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from planner.allocation import Allocation
from planner.fits import room
from planner.options import Options
from planner.plan import allocation_of
from planner.problem import Problem
from planner.solution import Solution

__all__ = ["warm_allocation"]


def warm_allocation(problem: Problem, options: Options) -> Allocation | None:
    """The options' previous plan as arrays of `problem`; None if its models no longer fit."""
    found = _previous_allocation(problem, options)
    if found is None:
        return None
    held = (found.onloaded_cm, found.onloaded_em)
    sizes = (problem.client_model_bytes_cm, problem.edge_model_bytes_em)
    budgets = (problem.client_memory_c, problem.edge_memory_e)
    for held_nm, bytes_nm, memory_n in zip(held, sizes, budgets, strict=True):
        if np.any(np.where(held_nm, bytes_nm, 0.0).sum(axis=1) > room(memory_n)):
            return None
    return found


def _previous_allocation(problem: Problem, options: Options) -> Allocation | None:
    previous = options.warm_start
    if isinstance(previous, Solution):
        same = previous.problem
        names = (problem.clients, problem.edges, problem.tasks, problem.models)
        if names == (same.clients, same.edges, same.tasks, same.models):
            held = previous.allocation
            if np.array_equal(problem.client_of_a, same.client_of_a) and np.array_equal(
                problem.edge_of_a, same.edge_of_a
            ):
                return held
            # Clients have moved between edges: the models stay where they are.
            return replace(
                Allocation.empty(problem),
                onloaded_cm=held.onloaded_cm, onloaded_em=held.onloaded_em,
            )  # fmt: skip
        previous = previous.plan
    return None if previous is None else allocation_of(problem, previous)
