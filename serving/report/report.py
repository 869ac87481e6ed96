"""`report.json`: what the plan promised beside what came back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from cluster.document import Document, FrozenModel
from cluster.provenance import Provenance
from planner.certificate import Certificate, EvaluationSummary
from serving.report.compare import PolicyRow
from serving.report.live import LiveComparison
from serving.report.plan_changes import PlanChange
from serving.report.regret import Regret
from serving.traffic.summary import SHED, RunSummary
from serving.verdicts.verdict import Verdict

__all__ = ["Predicted", "Report", "build_report"]


class Predicted(FrozenModel):
    """What `evaluate` says the plan does, under the names of `RunSummary`."""

    accuracy: float = Field(description="F1: mean accuracy over all queries, shed counting 0")
    accuracy_by_task: dict[str, float]
    share_by_tier: dict[str, float] = Field(description="client, edge, cloud and shed; sum 1")
    utilization_by_node: dict[str, float] = Field(description="busy device seconds per second")
    bounds_s: dict[str, float] = Field(description="promised latency by path, links included")
    tightest_by_constraint: dict[str, float] = Field(
        description="label F2..F9 -> largest use / budget over the nodes"
    )
    fill: float = Field(description="share of window and compute budgets that was planned")
    feasible: bool


class Report(Document):
    """One run under one plan, and optionally the other policies and the live loop."""

    predicted: Predicted
    measured: RunSummary
    certificate: Certificate
    provenance: Provenance
    policies: tuple[PolicyRow, ...] | None = None
    live: LiveComparison | None = None
    regret: Regret | None = None
    reasons: tuple[str, ...] | None = Field(
        default=None,
        description="which budgets are full and what more of them buys, and why queries are shed",
    )
    verdicts: tuple[Verdict, ...] | None = Field(
        default=None, description="whether each prediction held, and if not, what is to blame"
    )
    plan_changes: tuple[PlanChange, ...] | None = Field(
        default=None, description="of the measured run: what moved, why, and how it went around it"
    )

    @property
    def changes(self) -> tuple[PlanChange, ...]:
        """Of the measured run, or of the live loop that was measured beside a frozen plan."""
        return self.plan_changes or (self.live.plan_changes if self.live else ())


def build_report(
    predicted: EvaluationSummary,
    measured: RunSummary,
    certificate: Certificate,
    provenance: Provenance,
    *,
    bounds_s: Mapping[str, float] | None = None,
    policies: Sequence[PolicyRow] | None = None,
    live: LiveComparison | None = None,
    regret: Regret | None = None,
    verdicts: Sequence[Verdict] | None = None,
    reasons: Sequence[str] = (),
    plan_changes: Sequence[PlanChange] = (),
) -> Report:
    """The report of a run; `predicted` and `certificate` are those of the plan that served it."""
    return Report(
        predicted=Predicted(
            accuracy=predicted.objective,
            accuracy_by_task=predicted.accuracy_by_task,
            share_by_tier={**predicted.share_by_tier, SHED: predicted.shed_share},
            utilization_by_node=predicted.utilization_by_node,
            bounds_s=dict(bounds_s or {}),
            tightest_by_constraint=predicted.tightest_by_constraint,
            fill=predicted.fill,
            feasible=predicted.feasible,
        ),
        measured=measured,
        certificate=certificate,
        provenance=provenance,
        policies=tuple(policies) if policies is not None else None,
        live=live,
        regret=regret,
        reasons=tuple(reasons) or None,
        verdicts=tuple(verdicts) if verdicts is not None else None,
        plan_changes=tuple(plan_changes) or None,
    )
