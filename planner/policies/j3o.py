"""J3O: alternation without batching at the edges (F6)."""

from __future__ import annotations

from planner.options import Options
from planner.policies.by_alternation import plan_by_alternation
from planner.problem import Problem
from planner.solution import Solution

__all__ = ["j3o", "j3o_plain"]


def j3o(problem: Problem, options: Options) -> Solution:
    """As `j3o_plain`, and at the end the best plan among all models that it came across."""
    return plan_by_alternation(problem, options, "j3o", "unbatched", closing=True)


def j3o_plain(problem: Problem, options: Options) -> Solution:
    """Alternate onloading and offloading under F6; the plan keeps the true F9 as well.

    F6 charges a setup per query, F9 one per window and model: F6 implies F9 unless a model gets
    less than one query a window, in which case the plan is repaired (unless
    `options.edge_form` says that edges do not batch).
    """
    return plan_by_alternation(problem, options, "j3o-plain", "unbatched", closing=False)
