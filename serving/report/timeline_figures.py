"""The course of a run: what each node did, and what was refused, second by second."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from serving.report.colours import reason_colour
from serving.report.node_series import NodeSeries, bin_edges_s, node_series, refusal_series
from serving.report.plan_changes import plan_changes_s
from serving.report.svg import (
    Frame,
    Scale,
    element,
    label,
    legend,
    line,
    picture,
    swatch,
    tier_colour,
)
from serving.traffic.measurement import Measurements
from serving.traffic.summary import TIERS

__all__ = ["draw_nodes", "draw_refusals"]

_WIDTH = 980.0
_LEFT, _GAP = 84.0, 34.0
_ROW, _TOP = 52.0, 34.0
_COLUMNS = ("device busy", "queries waiting", "batch size")
_MOST_REASONS = 6
_OTHERS = "others"


def draw_nodes(measurements: Measurements) -> str:
    """A row for each node that answered: busy share, queries waiting and batch size over time."""
    edges_s = bin_edges_s(measurements.run.duration_s)
    series = node_series(measurements, edges_s)
    answered = measurements.select(measurements.answered)
    tiers = dict(zip(answered.node.tolist(), answered.tier.tolist(), strict=True))
    series = dict(sorted(series.items(), key=lambda item: TIERS.index(tiers[item[0]])))
    changes_s = plan_changes_s(measurements).values()
    cell = (_WIDTH - _LEFT - 3 * _GAP) / 3
    height = _TOP + _ROW * len(series) + 26
    parts = [
        label(_LEFT + k * (cell + _GAP), 18, words, class_="axis")
        for k, words in enumerate(_COLUMNS)
    ]
    for row, (node, each) in enumerate(series.items()):
        top = _TOP + row * _ROW
        parts.append(label(_LEFT - 10, top + 24, node, class_="name", text_anchor="end"))
        for column, (values, high) in enumerate(_columns(each)):
            left = _LEFT + column * (cell + _GAP)
            time_x = Scale(0, float(edges_s[-1]), left, left + cell)
            value_y = Scale(0, high, top + _ROW - 12, top + 4)
            words = f"{node}, {_COLUMNS[column]}: at most {_high_words(column, high)}"
            parts.append(
                element(
                    "g",
                    element("title", words),
                    line(left, value_y(0), left + cell, value_y(0), class_="grid"),
                    *(
                        line(time_x(at), value_y(0), time_x(at), value_y(high), class_="change")
                        for at in changes_s
                    ),
                    element(
                        "path",
                        d=_area(edges_s, values, time_x, value_y),
                        fill=tier_colour(tiers[node]),
                        class_="area",
                    ),
                    label(left + cell + 4, top + 12, _high_words(column, high), class_="tiny"),
                )
            )
    bottom = _TOP + _ROW * len(series)
    for column in range(3):
        left = _LEFT + column * (cell + _GAP)
        parts += _time_axis(float(edges_s[-1]), left, left + cell, bottom)
    title = "Every node over time: device busy, queries waiting, batch size"
    return picture(_WIDTH, height, title, *parts, class_="chart wide")


def _columns(each: NodeSeries) -> Sequence[tuple[NDArray[np.float64], float]]:
    sizes = np.nan_to_num(each.batch_t)
    return (
        (each.busy_t, max(0.05, float(each.busy_t.max()))),
        (each.waiting_t, max(1.0, float(each.waiting_t.max()))),
        (sizes, max(1.0, float(sizes.max()))),
    )


def _high_words(column: int, high: float) -> str:
    return f"{high:.0%}" if column == 0 else f"{high:.0f}"


def draw_refusals(measurements: Measurements) -> str | None:
    """Queries a second that were refused, stacked by reason; None if none was."""
    edges_s = bin_edges_s(measurements.run.duration_s)
    found = refusal_series(measurements, edges_s).qps_by_reason
    if not found:
        return None
    shown = dict(list(found.items())[:_MOST_REASONS])
    rest = [values for name, values in found.items() if name not in shown]
    if rest:
        shown[_OTHERS] = np.sum(rest, axis=0)
    left, right, top, bottom = 52.0, _WIDTH - 14, 34.0, 190.0
    highest = float(np.sum(list(shown.values()), axis=0).max())
    time_x = Scale(0, float(edges_s[-1]), left, right)
    rate_y = Scale(0, highest, bottom, top)
    parts, below = [], np.zeros(len(edges_s) - 1)
    for name, values in shown.items():
        parts.append(
            element(
                "path",
                element("title", f"{name}: {values.mean():.2f} a second on average"),
                d=_band(edges_s, below, below + values, time_x, rate_y),
                fill=_reason_colour(name),
            )
        )
        below = below + values
    axis = Frame(_WIDTH, bottom + 40, time_x, rate_y).y_axis("", about=4)
    changes = [
        line(time_x(at), bottom, time_x(at), top, class_="change")
        for at in plan_changes_s(measurements).values()
    ]
    swatches = [(swatch(_reason_colour(name)), name) for name in shown]
    return picture(
        _WIDTH, bottom + 40, "Refused queries a second, by reason",
        axis, *parts, *changes, legend(left, 18, swatches),
        *_time_axis(float(edges_s[-1]), left, right, bottom), class_="chart wide",
    )  # fmt: skip


def _reason_colour(name: str) -> str:
    return "var(--rest)" if name == _OTHERS else reason_colour(name)


def _time_axis(end_s: float, left: float, right: float, bottom: float) -> list[str]:
    time_x = Scale(0, end_s, left, right)
    ticks = time_x.ticks(4)
    return [
        label(
            time_x(at), bottom + 14, f"{at:g} s" if at == ticks[-1] else f"{at:g}",
            class_="tick", text_anchor="middle",
        )
        for at in ticks
    ]  # fmt: skip


def _area(
    edges_s: NDArray[np.float64], values: NDArray[np.float64], time_x: Scale, value_y: Scale
) -> str:
    return _band(edges_s, np.zeros(len(values)), values, time_x, value_y)


def _band(
    edges_s: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    time_x: Scale,
    value_y: Scale,
) -> str:
    """Steps along `high` and back along `low`."""
    xs = np.repeat([time_x(float(at)) for at in edges_s], 2)[1:-1]
    over = np.repeat([value_y(float(v)) for v in high], 2)
    under = np.repeat([value_y(float(v)) for v in low], 2)
    there = [f"{x:.1f} {y:.1f}" for x, y in zip(xs, over, strict=True)]
    back = [f"{x:.1f} {y:.1f}" for x, y in zip(xs[::-1], under[::-1], strict=True)]
    return "M" + " L".join([*there, *back]) + " Z"
