"""BAJ3O: alternation with batching at the edges (F9) through the Taylor surrogate."""

from __future__ import annotations

from planner.options import Options
from planner.policies.by_alternation import plan_by_alternation
from planner.problem import Problem
from planner.solution import Solution

__all__ = ["baj3o", "baj3o_plain"]


def baj3o(problem: Problem, options: Options) -> Solution:
    """As `baj3o_plain`, and at the end the best plan among all models that it came across."""
    return plan_by_alternation(problem, options, "baj3o", "batched", closing=True)


def baj3o_plain(problem: Problem, options: Options) -> Solution:
    """Alternate under the surrogate of F9, re-linearised each iteration; repair every iterate."""
    return plan_by_alternation(problem, options, "baj3o-plain", "batched", closing=False)
