"""How the rows of an experiment are drawn: a point a policy and case, with its 95 % interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from planner.experiments.study import Row
from serving.experiments.intervals import Interval, mean_interval, ratio_interval

__all__ = ["FROZEN", "draw_points", "draw_policies", "values_of"]

FROZEN = "frozen"
"""the policy that others are compared with"""
WIDTH = 0.7
"""of the points of one case, where cases are 1 apart"""


def draw_policies(rows: Sequence[Row], axes: Any) -> None:
    """On two panels: accuracy × answered by case, and its ratio to the frozen plan."""
    left, right = axes
    draw_points(rows, left, lambda case, policy: mean_interval(values_of(rows, case, policy)))
    left.set_ylabel("accuracy × answered, mean")

    def ratio(case: str, policy: str) -> Interval:
        return ratio_interval(values_of(rows, case, policy), values_of(rows, case, FROZEN))

    draw_points([row for row in rows if row["policy"] != FROZEN], right, ratio)
    right.axhline(1.0, color="grey", linewidth=0.8)
    right.set_ylabel("the same ÷ frozen, paired")


def draw_points(rows: Sequence[Row], axes: Any, interval: Callable[[str, str], Interval]) -> None:
    """One point with its interval for every case (side by side) and policy (by colour)."""
    cases = list(dict.fromkeys(str(row["case"]) for row in rows))
    policies = list(dict.fromkeys(str(row["policy"]) for row in rows))
    for number, policy in enumerate(policies):
        there = [
            (place, interval(case, policy))
            for place, case in enumerate(cases)
            if any(str(row["case"]) == case and row["policy"] == policy for row in rows)
        ]
        at = WIDTH * ((number + 0.5) / len(policies) - 0.5)
        axes.errorbar(
            [place + at for place, _ in there],
            [each.value for _, each in there],
            # A value may lie outside of its resamples by rounding.
            yerr=[
                [max(each.value - each.low, 0.0) for _, each in there],
                [max(each.high - each.value, 0.0) for _, each in there],
            ],
            fmt="o", markersize=4, capsize=3, label=policy, color=_colour(policy, number),
        )  # fmt: skip
    axes.set_xticks(range(len(cases)), cases, rotation=25, ha="right")
    axes.legend(fontsize="small")


def values_of(rows: Sequence[Row], case: str, policy: str, column: str = "accuracy") -> list[float]:
    """What a column has for the seeds of a case and policy, in the order of the seeds."""
    found = [row for row in rows if str(row["case"]) == case and row["policy"] == policy]
    return [float(row[column]) for row in sorted(found, key=lambda row: float(row["seed"]))]


def _colour(policy: str, number: int) -> str:
    """The same for a policy of change in every panel and figure."""
    fixed = (FROZEN, "periodic", "reactive", "forecast", "oracle")
    return f"C{fixed.index(policy) if policy in fixed else number}"
