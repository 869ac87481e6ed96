"""What every policy returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from planner.allocation import Allocation
from planner.certificate import Certificate, Status, relative_gap
from planner.evaluate import Evaluation
from planner.plan import Plan, plan_of
from planner.problem import FloatArray, Problem

__all__ = ["Certificate", "Solution", "Status", "relative_gap"]


@dataclass(frozen=True, eq=False)
class Solution:
    """A plan that keeps every budget, what it is predicted to do, and how good it provably is."""

    problem: Problem
    policy: str
    fill: float
    allocation: Allocation
    evaluation: Evaluation
    certificate: Certificate
    trace: tuple[float, ...]
    """Objective of the best plan so far, by iteration; never falls."""
    prices: Mapping[str, FloatArray] = field(default_factory=dict)
    """Prices by edge that a re-plan may start from (policy `certified`); not stored in a file."""

    overrun: float | None = None
    """delta of F11 when windows were planned with it."""
    edge_form: str = "batched"
    """Edge constraint the policy planned with: `batched` (F9) or `unbatched` (F6)."""
    iterates: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Objective of every iterate of an alternation, kept or not, by starting point."""

    @property
    def objective(self) -> float:
        """Mean accuracy per sent query (F1)."""
        return self.certificate.objective

    @cached_property
    def plan(self) -> Plan:
        """The plan with names, its prediction and its certificate, as `plan.json` holds it."""
        return plan_of(
            self.problem,
            self.allocation,
            policy=self.policy,
            fill=self.fill,
            overrun=self.overrun,
            predicted=self.evaluation.summary(),
            certificate=self.certificate,
        )
