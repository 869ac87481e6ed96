"""Curves of medians over seeds, with their range, on matplotlib axes."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from planner.experiments.study import Row

__all__ = ["draw_boxes", "draw_curves"]


def draw_curves(
    rows: Sequence[Row], axes: Any, *, x: str, y: str, by: str, x_label: str, y_label: str
) -> None:
    """Median of column `y` over `x`, one line a value of column `by`, shaded from min to max."""
    grouped: dict[Any, dict[Any, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        grouped[row[by]][row[x]].append(float(row[y]))
    for name, points in grouped.items():
        places = sorted(points)
        axes.plot(places, [statistics.median(points[p]) for p in places], "o-", label=str(name))
        low, high = [min(points[p]) for p in places], [max(points[p]) for p in places]
        axes.fill_between(places, low, high, alpha=0.15)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.legend()


def draw_boxes(rows: Sequence[Row], axes: Any, *, y: str, by: Sequence[str], y_label: str) -> None:
    """Box plots of column `y`, one for each combination of the columns `by`."""
    grouped: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        grouped["\n".join(str(row[column]) for column in by)].append(float(row[y]))
    axes.boxplot(list(grouped.values()))
    axes.set_xticks(range(1, len(grouped) + 1), list(grouped), fontsize=6)
    axes.set_ylabel(y_label)
