"""The changes of plan that a log of the live loop tells of, by the version that came into force."""

from __future__ import annotations

from pathlib import Path

from serving.replan.decision_log import read_changes
from serving.report.plan_changes import LoggedChange

__all__ = ["logged_changes"]


def logged_changes(path: Path) -> dict[int, LoggedChange]:
    """Version -> what is logged of it; the last, where the file has several of one version.

    Raises `DocumentError` for a file that is no log of decisions.
    """
    found = {}
    for line, change in read_changes(path):
        decision = line.decision
        assert decision is not None
        assert decision.plan is not None
        before, why, promised = line.given.present, decision.reason, decision.proposed
        if decision.meanwhile is not None:  # its shares took the version before
            shares = LoggedChange(
                before, decision.meanwhile, f"new shares while models load; {why}"
            )
            found[change.version - 1] = shares
            before = decision.meanwhile
        found[change.version] = LoggedChange(before, decision.plan, why, promised)
    return found
