"""J3O: alternation without batching at the edges (F6)."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from planner.allocation import Allocation
from planner.fits import room
from planner.options import Options
from planner.plan import allocation_of
from planner.policies.alternation import alternate, starting_points
from planner.policies.closing import closed
from planner.policies.outcome import conclude
from planner.problem import Problem
from planner.programs.bound import relax
from planner.programs.offloading import Tiers, keep_both_forms
from planner.solution import Solution

__all__ = ["j3o", "j3o_plain", "warm_allocation"]


def j3o(problem: Problem, options: Options) -> Solution:
    """As `j3o_plain`, and at the end the best plan among all models that it came across."""
    return _planned(problem, options, "j3o", closing=True)


def j3o_plain(problem: Problem, options: Options) -> Solution:
    """Alternate onloading and offloading under F6; the plan keeps the true F9 as well.

    F6 charges a setup per query, F9 one per window and model: F6 implies F9 unless a model gets
    less than one query a window, in which case the plan is repaired (unless
    `options.edge_form` says that edges do not batch).
    """
    return _planned(problem, options, "j3o-plain", closing=False)


def _planned(problem: Problem, options: Options, policy: str, *, closing: bool) -> Solution:
    begun_s = time.perf_counter()
    form = options.edge_form or "unbatched"
    relaxation = relax(problem, form, options)
    warm = warm_allocation(problem, options)
    starts = starting_points(problem, form, Tiers(), relaxation, warm)
    result = alternate(
        problem, options, form, Tiers(), starts, target_qps=relaxation.bound_qps * (1 - options.gap)
    )
    if closing:
        result = closed(problem, result, relaxation, form, options, begun_s)
    allocation = result.allocation
    if options.edge_form is None:
        allocation = keep_both_forms(problem, allocation, options)
    return conclude(
        problem, options, policy, form, allocation,
        upper_bound_qps=relaxation.bound_qps, bound_method=relaxation.method,
        solver="HiGHS", iterations=result.iterations, trace_qps=result.trace, begun_s=begun_s,
        iterates_qps=result.values_by_start,
    )  # fmt: skip


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
