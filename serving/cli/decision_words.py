"""A decision of the live loop, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from serving.replan.decision import Decision
    from serving.replan.loop import LookReport

__all__ = ["alternatives_table", "look_words"]


def look_words(report: LookReport, dry_run: bool) -> str:
    """One line about a decision, with the time at which it was made."""
    look = report.look
    assert look.made is not None
    assert look.estimate is not None
    # When it was answered: new shares may be, while an older question about models is still open.
    begin = f"{look.at_s + look.made.took_s:6.1f} s  {look.estimate.total_qps:5.1f} queries/s  "
    if look.estimate.forecast != "seen":
        begin += f"(forecast by {look.estimate.forecast})  "
    decision = look.made.decision
    if decision is None:
        return f"{begin}[red]{look.made.fault}[/]; the plan stays"
    # No F1 of the plans: gains also count what queues do to them, which may turn the order round.
    if not decision.changes:
        return f"{begin}stays: {decision.reason}"
    what = "would change" if dry_run else f"[bold]version {report.plan.version}[/]"
    return f"{begin}{what}: {decision.reason}"


def alternatives_table(decision: Decision) -> Table:
    """What a decision chose from."""
    table = Table("", "alternative", "room", "accuracy", "gain", "surely", "cost", "loads")
    for position, other in enumerate(decision.alternatives):
        table.add_row(
            ">" if position == decision.chosen else "",
            str(other.kind),
            f"{other.room:g}",
            f"{other.objective:.4f}",
            f"{other.gain:+.4f}",
            f"{other.sure_gain:+.4f}",
            f"{other.cost:.4f}",
            str(sum(map(len, other.loads.values()))),
        )
    return table
