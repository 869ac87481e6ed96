"""One of the plans that a decision chooses from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from planner.allocation import Allocation
from planner.certificate import Certificate
from planner.plan import Plan

__all__ = ["AlternativeKind", "PlanAlternative"]


class AlternativeKind(StrEnum):
    """How far an alternative goes."""

    STAY = "stay"
    ROUTES = "routes"
    """new shares for the models that the nodes hold: nothing is loaded or unloaded"""
    PLAN = "plan"
    """new models and shares"""


@dataclass(frozen=True, eq=False)
class PlanAlternative:
    """A plan that could be in force next."""

    kind: AlternativeKind
    room: float
    """share of the links' budgets that it was planned with"""
    plan: Plan
    allocation: Allocation
    certificate: Certificate | None = None
    """of the problem that it was planned for"""
