"""A decision of the live loop as it is shown: why, between what, and what became of it."""

from __future__ import annotations

from pydantic import Field

from cluster.document import FrozenModel
from serving.replan.decision import JudgedAlternative
from serving.replan.decision_log import ChangeLine, DecisionLine
from serving.watch.sample import MomentS

__all__ = ["AlternativeShown", "DecisionShown", "decision_shown", "with_change"]


class AlternativeShown(FrozenModel):
    """One alternative that was judged; gains are of accuracy over the horizon."""

    kind: str = Field(description="`stay`, `routes` or `plan`")
    chosen: bool
    room: float = Field(description="share of the links' budgets that it was planned with")
    objective: float
    gain: float
    sure_gain: float
    cost: float
    loads: int = Field(description="models that move")
    upper_bound: float | None = None
    gap: float | None = Field(default=None, description="proven (F10)")


class DecisionShown(FrozenModel):
    """One decision. Until its plan is in force, and where the plan stays, `version` is 0."""

    number: int
    at_s: MomentS = Field(description="from the start of the recording")
    known_s: MomentS = Field(description="when what became of it was known")
    why: str = Field(description="why it was time to decide")
    load_qps: float
    reason: str = Field(description="for the choice")
    changes: bool
    alternatives: tuple[AlternativeShown, ...] = ()
    absent: tuple[str, ...] = Field(default=(), description="nodes that it was planned without")
    took_s: float = 0.0
    dry_run: bool = False
    fault: str = Field(default="", description="of planning, or of the change")
    version: int = 0
    change_s: float = Field(default=0.0, description="what the change took")


def decision_shown(line: DecisionLine, at_s: float) -> DecisionShown:
    """What is shown of a line of the decision log that was written at `at_s`."""
    given, decision = line.given, line.decision
    return DecisionShown(
        number=given.number,
        at_s=round(at_s, 3),
        known_s=round(at_s, 3),
        why=line.why,
        load_qps=given.estimate.total_qps,
        reason=line.fault if decision is None else decision.reason,
        changes=decision is not None and decision.changes,
        alternatives=()
        if decision is None
        else tuple(
            _alternative(other, position == decision.chosen)
            for position, other in enumerate(decision.alternatives)
        ),
        absent=given.absent,
        took_s=line.took_s,
        dry_run=line.dry_run,
        fault=line.fault,
    )


def with_change(decision: DecisionShown, line: ChangeLine, at_s: float) -> DecisionShown:
    """The decision with what became of its plan, as it was known at `at_s`."""
    became = {"version": line.version, "change_s": line.total_s, "fault": line.fault}
    return decision.model_copy(update={**became, "known_s": round(at_s, 3)})


def _alternative(other: JudgedAlternative, chosen: bool) -> AlternativeShown:
    return AlternativeShown(
        kind=str(other.kind),
        chosen=chosen,
        room=other.room,
        objective=other.objective,
        gain=other.gain,
        sure_gain=other.sure_gain,
        cost=other.cost,
        loads=sum(map(len, other.loads.values())),
        upper_bound=other.upper_bound,
        gap=other.gap,
    )
