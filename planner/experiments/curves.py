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


def draw_boxes(rows: Sequence[Row], axes: Any, *, y: str, x: str, by: str, y_label: str) -> None:
    """Box plots of column `y`, side by side for the values of `by` at each value of `x`."""
    places = list(dict.fromkeys(str(row[x]) for row in rows))
    series = list(dict.fromkeys(str(row[by]) for row in rows))
    width = 0.8 / len(series)
    for number, name in enumerate(series):
        values = [
            [float(row[y]) for row in rows if (str(row[x]), str(row[by])) == (place, name)]
            for place in places
        ]
        at = [place + (number - (len(series) - 1) / 2) * width for place in range(len(places))]
        axes.boxplot(
            values, positions=at, widths=0.85 * width, patch_artist=True, label=name,
            boxprops={"facecolor": f"C{number}", "alpha": 0.5},
            medianprops={"color": "black"}, flierprops={"markersize": 3},
        )  # fmt: skip
    axes.set_xticks(range(len(places)), places, rotation=20, ha="right")
    axes.set_ylabel(y_label)
    axes.legend()
