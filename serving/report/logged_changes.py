"""The changes of plan that a log of the live loop tells of, by the version that came into force."""

from __future__ import annotations

from pathlib import Path

from serving.replan.decision_log import DecisionLine, read_changes
from serving.report.plan_changes import LoggedChange

__all__ = ["logged_changes"]


def logged_changes(path: Path) -> dict[int, LoggedChange]:
    """Version -> what is logged of it; the last, where the file has several of one version.

    Raises `DocumentError` for a file that is no log of decisions.
    """
    return {change.version: _change(line) for line, change in read_changes(path)}


def _change(line: DecisionLine) -> LoggedChange:
    decision = line.decision
    assert decision is not None
    assert decision.plan is not None
    return LoggedChange(
        before=line.given.present,
        after=decision.plan,
        why=decision.reason,
        predicted_accuracy=decision.proposed,
    )
