"""What a plan does, worked out anew: a file may say anything of itself.

Accuracy and the use of budgets follow from routes and problem by `evaluate`. An upper bound cannot
be worked out so quickly: that of the file stands only while the file says of its plan what is true,
and otherwise the linear relaxation is solved.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from planner.certificate import Certificate, Status, relative_gap
from planner.evaluate import Evaluation, evaluate
from planner.options import Options
from planner.plan import Plan
from planner.problem import Problem
from planner.programs.bound import relax, trivial_bound_qps

__all__ = ["Recomputed", "recompute"]

SAME = 1e-6
"""accuracy by which a file and what is worked out from it may differ"""


@dataclass(frozen=True, eq=False)
class Recomputed:
    """A plan whose prediction and certificate are what follows from its problem."""

    plan: Plan
    evaluation: Evaluation
    false_claim: str
    """what the file says of the plan that is not so; empty if it is"""


def recompute(plan: Plan, problem: Problem) -> Recomputed:
    """`plan` with its prediction and certificate worked out for `problem`.

    Raises `PlanError` if it names what the problem does not have.
    """
    evaluation = evaluate(problem, plan, fill=plan.fill, overrun=plan.overrun)
    stated, said = plan.certificate, plan.predicted
    paid = 0.0 if said is None else said.energy_cost + said.moving_cost
    claims = {}
    same = plan.problem_digest == problem.digest  # what it says of another problem may be true
    if said is not None and same:
        claims["an accuracy of"] = (said.objective, evaluation.objective)
    if stated is not None and same:
        value = evaluation.value(stated.maximised) - paid
        claims["an objective of"] = (stated.objective, value)
        claims["an upper bound of"] = (stated.upper_bound, max(stated.upper_bound, value))
    false_claim = next(
        (
            f"it says {what} {claimed:.4f}, and {true:.4f} follows from its routes"
            for what, (claimed, true) in claims.items()
            if not math.isclose(claimed, true, rel_tol=SAME, abs_tol=SAME)
        ),
        "",
    )
    # What joules and loads cost, a plan does not say, only what was paid for them.
    if stated is None or false_claim or paid or not same:
        certificate = _relaxed(plan, problem, evaluation)
    else:
        value = evaluation.value(stated.maximised)
        bound = max(stated.upper_bound, value)
        certificate = stated.model_copy(
            update={
                "objective": value, "upper_bound": bound, "gap": relative_gap(value, bound),
            }
        )  # fmt: skip
    update = {"predicted": evaluation.summary(), "certificate": certificate}
    return Recomputed(plan.model_copy(update=update), evaluation, false_claim)


def _relaxed(plan: Plan, problem: Problem, evaluation: Evaluation) -> Certificate:
    """A certificate for the mean accuracy that rests on nothing that the file says: the bound is of
    whole budgets, for which every plan is made, whatever part of them it plans with."""
    begun_s = time.perf_counter()
    if problem.asks_together:  # the relaxation counts a pass for every task of an image
        bound_qps, method = trivial_bound_qps(problem), "the best model for every query"
    else:
        relaxation = relax(problem, "batched", Options(fill=1.0))
        bound_qps, method = relaxation.bound_qps, relaxation.method
    total_qps = max(problem.total_load_qps, 1e-300)
    objective = evaluation.objective
    bound = max(bound_qps / total_qps, objective)
    return Certificate(
        objective=objective,
        upper_bound=bound,
        gap=relative_gap(objective, bound),
        status=Status.FEASIBLE,
        runtime_s=time.perf_counter() - begun_s,
        bound_method=method,
        solver="HiGHS",
        iterations=1,
    )
