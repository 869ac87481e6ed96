"""The check that every plan passes before anything of it is put in force."""

from __future__ import annotations

from planner.evaluate import evaluate
from planner.plan import Plan
from planner.problem import Problem
from serving.errors import BudgetError

__all__ = ["refuse_broken_budgets"]


def refuse_broken_budgets(problem: Problem, plan: Plan) -> None:
    """Raise `BudgetError` if `plan` breaks a constraint of `problem`, whole budgets allowed.

    Raises `PlanError` if the plan names what the problem does not have.
    """
    violations = evaluate(problem, plan).violations()
    if violations:
        raise BudgetError([str(violation) for violation in violations])
