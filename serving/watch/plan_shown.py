"""A plan as it is shown: what it promises, what is proven of it, and which of its budgets bind."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cluster.document import FrozenModel
from planner.evaluate import Usage, evaluate
from planner.explanation.budget_words import amount_words, budget_place
from planner.explanation.explain import Explanation, explanation_of
from planner.plan import Plan, allocation_of
from planner.problem import Problem

__all__ = ["BudgetShown", "PlanShown", "PromiseShown", "plan_shown"]

Kind = Literal["memory", "compute", "uplink", "window"]
KINDS: dict[str, Kind] = {
    "F4": "memory", "F5": "compute", "F7": "uplink", "F8": "compute", "F9": "window",
    "F11": "window",
}  # fmt: skip
"""budgets that are shown, by their label; F6 counts only where edges do not batch"""


class BudgetShown(FrozenModel):
    """One budget, and what the plan makes of it."""

    label: str = Field(description="F4, F5, F7, F8, F9 or F11")
    kind: Kind
    node: str = Field(description="whose it is; of a link that has its own, 'source to target'")
    place: str = Field(description="in words")
    budget: float = Field(gt=0, description="in its unit: bytes, busy s/s, bytes/s, s/window")
    budget_words: str
    planned_share: float = Field(ge=0, description="use / budget")
    binds: bool = Field(description="whether more of it would buy accuracy")
    gain_of_tenth: float | None = Field(
        default=None, description="at most, of a tenth more: its price times that; None if unknown"
    )


class PromiseShown(FrozenModel):
    """What the plan says will come back."""

    accuracy: float
    accuracy_by_task: dict[str, float]
    share_by_tier: dict[str, float]
    shed_share: float
    busy_by_node: dict[str, float]


class PlanShown(FrozenModel):
    """A plan in force."""

    version: int
    policy: str
    load_qps: dict[str, dict[str, float]]
    onloading: dict[str, tuple[str, ...]]
    promise: PromiseShown | None = None
    objective: float | None = Field(default=None, description="of the certificate")
    upper_bound: float | None = None
    gap: float | None = Field(default=None, description="proven (F10)")
    budgets: tuple[BudgetShown, ...] = ()
    reasons: tuple[str, ...] = Field(default=(), description="as `testbed plan` prints them")


def plan_shown(plan: Plan, problem: Problem) -> PlanShown:
    """What is shown of a plan for `problem`. Raises `PlanError` if it names what that lacks."""
    evaluation = evaluate(
        problem, allocation_of(problem, plan), fill=plan.fill, overrun=plan.overrun
    )
    explanation = explanation_of(problem, plan)
    summary, certificate = evaluation.summary(), plan.certificate
    usages = evaluation.usages
    labels = [label for label in KINDS if label in usages]
    if "F11" in labels:
        labels.remove("F9")
    return PlanShown(
        version=plan.version,
        policy=plan.policy,
        load_qps=plan.load_qps,
        onloading=plan.onloading,
        promise=PromiseShown(
            accuracy=summary.objective,
            accuracy_by_task=summary.accuracy_by_task,
            share_by_tier=summary.share_by_tier,
            shed_share=summary.shed_share,
            busy_by_node=summary.utilization_by_node,
        ),
        objective=None if certificate is None else certificate.objective,
        upper_bound=None if certificate is None else certificate.upper_bound,
        gap=None if certificate is None else certificate.gap,
        budgets=tuple(
            budget for label in labels for budget in _budgets(problem, usages[label], explanation)
        ),
        reasons=() if explanation is None else explanation.lines,
    )


def _budgets(problem: Problem, usage: Usage, explanation: Explanation | None) -> list[BudgetShown]:
    label = usage.label
    gains: dict[str, float] = {}
    if explanation is not None:
        gains = {b.node: b.gain_of_tenth for b in explanation.bindings if b.label == label}
        if label == "F4":
            gains = {missing.node: missing.gain for missing in explanation.missing_models}
    found = []
    for name, use, budget in zip(
        usage.names, usage.use_n.tolist(), usage.budget_n.tolist(), strict=True
    ):
        if not 0 < budget < float("inf"):
            continue
        told = f"{budget / 2**20:.3g} MiB" if label == "F4" else amount_words(budget, usage.unit)
        found.append(
            BudgetShown(
                label=label,
                kind=KINDS[label],
                node=name,
                place=f"memory of {name}" if label == "F4" else budget_place(problem, label, name),
                budget=budget,
                budget_words=told,
                planned_share=min(use / budget, 99.0),
                binds=name in gains,
                gain_of_tenth=gains.get(name, None if explanation is None else 0.0),
            )
        )
    return found
