"""Verdicts for people: grouped by quantity, each group with its worst, and figures with units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from serving.verdicts.verdict import Held, Quantity, Verdict

__all__ = [
    "Group", "doubts_in_words", "error_in_words", "failures_in_words", "group_verdicts",
    "value_in_words", "verdict_table",
]  # fmt: skip


@dataclass(frozen=True)
class Group:
    """All verdicts on one quantity."""

    quantity: Quantity
    verdicts: tuple[Verdict, ...]
    """the worst first, by error ÷ tolerance; those that fail before all others"""

    @property
    def worst(self) -> Verdict:
        """The one furthest off."""
        return self.verdicts[0]

    @property
    def held(self) -> int:
        """How many hold."""
        return sum(verdict.held is Held.YES for verdict in self.verdicts)


def group_verdicts(verdicts: Sequence[Verdict]) -> list[Group]:
    """By quantity, in the order of `Quantity`."""
    order = {Held.NO: 0, Held.UNSURE: 1, Held.YES: 2}
    return [
        Group(quantity, tuple(sorted(
            found, key=lambda each: (order[each.held], -abs(each.error) / each.tolerance)
        )))
        for quantity in Quantity
        if (found := [each for each in verdicts if each.quantity is quantity])
    ]  # fmt: skip


def value_in_words(value: float, unit: str) -> str:
    """Such as '12.3 ms', '84 KB/s' or '.731'."""
    if unit == "s":
        return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"
    if unit == "bytes/s":
        return f"{value / 1e3:.4g} KB/s"
    return f"{value:.3f}" if not unit else f"{value:.3g} {unit}"


def error_in_words(verdict: Verdict) -> tuple[str, str]:
    """The error and its tolerance: in per cent of the prediction, or in the figure's own unit."""
    if verdict.relative:
        return f"{verdict.error:+.1%}", f"{verdict.tolerance:.0%}"
    return f"{verdict.error:+.3f}", f"{verdict.tolerance:.3g}"


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """A row for each quantity: how many predictions hold, and the one furthest off."""
    table = Table(title="Predictions", caption="of several, the one that is furthest off")
    table.add_column("prediction")
    for heading in ("hold", "predicted", "measured", "error", "within"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for group in group_verdicts(verdicts):
        worst = group.worst
        error, tolerance = error_in_words(worst)
        colour = {Held.NO: "red", Held.UNSURE: "yellow", Held.YES: "green"}[worst.held]
        table.add_row(
            group.quantity,
            f"{group.held} of {len(group.verdicts)}",
            value_in_words(worst.predicted, worst.unit),
            value_in_words(worst.measured, worst.unit),
            error,
            tolerance,
            f"[{colour}]{worst.held}[/]",
        )
    return table


def failures_in_words(verdicts: Sequence[Verdict]) -> list[str]:
    """Of each quantity that fails somewhere, a line with the worst place and the cause."""
    return [
        f"{_off(group.worst)}: {group.worst.cause}"
        for group in group_verdicts(verdicts)
        if group.worst.held is Held.NO
    ]


def doubts_in_words(verdicts: Sequence[Verdict]) -> list[str]:
    """Of each quantity that is unsure somewhere and fails nowhere, a line with the worst place and
    what chance may do to it."""
    lines = []
    for group in group_verdicts(verdicts):
        worst = group.worst
        if worst.held is Held.UNSURE:
            margin = f"{worst.margin:.0%}" if worst.relative else f"{worst.margin:.3g}"
            lines.append(f"{_off(worst)}, chance alone may do {margin}: drive for longer")
    return lines


def _off(verdict: Verdict) -> str:
    error, tolerance = error_in_words(verdict)
    where = f" ({verdict.where})" if verdict.where else ""
    return f"{verdict.quantity}{where} is off by {error} (within {tolerance})"
