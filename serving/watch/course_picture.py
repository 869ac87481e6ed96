"""The charts of the page: load, accuracy and latency over time, drawn as the report draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from serving.report.svg import Frame, Scale, element, legend, line, picture, swatch
from serving.report.svg import tier_colour as of_tier
from serving.watch.frame import Course, WatchFrame

__all__ = ["draw_course"]

WIDTH, HEIGHT = 360.0, 190.0
TOP, BOTTOM = 40.0, 150.0
LEFT, RIGHT = 44.0, 12.0
TIERS = ("client", "edge", "cloud")
Values = Sequence[float | None]


def draw_course(frame: WatchFrame) -> dict[str, str]:
    """The charts by name: `load`, `accuracy`, `latency`."""
    return {"load": _load(frame), "accuracy": _accuracy(frame), "latency": _latency(frame)}


def _load(frame: WatchFrame) -> str:
    course = frame.course
    total = [0.0] * len(course.asked_qps)
    bands = []
    for tier in TIERS:
        values = [value or 0.0 for value in course.answered_qps[tier]]
        upper = [a + b for a, b in zip(total, values, strict=True)]
        bands.append((of_tier(tier), tier, list(total), upper))
        total = upper
    refused = [value or 0.0 for value in course.refused_qps]
    upper = [a + b for a, b in zip(total, refused, strict=True)]
    bands.append((of_tier("shed"), "refused", list(total), upper))
    high = max([1.0, *upper, *(value or 0.0 for value in course.asked_qps)]) * 1.1
    axes = _axes(course, high)
    known = _known(course, frame.at_s)
    drawn = [
        element("path", element("title", name), d=_band(axes, course, low, up, known), fill=colour,
                class_="area")
        for colour, name, low, up in bands
    ]  # fmt: skip
    asked = element("path", d=_line(axes, course, course.asked_qps), class_="curve asked")
    keys = [(swatch(colour), name) for colour, name, _, _ in bands]
    keys.append((line(-7, 0, 7, 0, class_="curve asked"), "asked"))
    return _chart(
        frame, axes, "Queries a second: asked, and answered by tier", keys,
        axes.y_axis("", about=4), *drawn, asked,
    )  # fmt: skip


def _accuracy(frame: WatchFrame) -> str:
    course = frame.course
    axes = _axes(course, 1.0)
    promised = frame.accuracy[0].promised if frame.accuracy else None
    parts = []
    if promised is not None:
        y = axes.y(promised)
        parts.append(line(axes.x.start, y, axes.x.end, y, class_="promise"))
    estimated = course.accuracy_source == "estimate"
    kind = "curve estimate" if estimated else "curve labelled"
    parts.append(element("path", d=_line(axes, course, course.accuracy), class_=kind))
    words = "estimated" if estimated else "with labels"
    keys = [
        (line(-7, 0, 7, 0, class_=kind), words),
        (line(-7, 0, 7, 0, class_="promise"), "promised now"),
    ]
    return _chart(
        frame, axes, f"Accuracy over all that was asked, {words}", keys,
        axes.y_axis("", about=4), *parts,
    )  # fmt: skip


def _latency(frame: WatchFrame) -> str:
    course = frame.course
    bounds_s = sorted({each.bound_s for each in frame.latency if each.bound_s > 0})
    high = max([0.05, *(value or 0.0 for value in course.p95_s), *bounds_s]) * 1e3 * 1.15
    axes = _axes(course, high)
    ms = [None if value is None else value * 1e3 for value in course.p95_s]
    parts = [element("path", d=_line(axes, course, ms), class_="curve p95")]
    for row in frame.latency:
        if row.bound_s > 0:
            y = axes.y(row.bound_s * 1e3)
            parts.append(
                line(axes.x.start, y, axes.x.end, y, stroke=of_tier(row.tier), class_="bound")
            )
    keys = [
        (line(-7, 0, 7, 0, class_="curve p95"), "p95"),
        (line(-7, 0, 7, 0, stroke="currentColor", class_="bound"), "promised, by tier"),
    ]
    return _chart(
        frame, axes, "Latency of answers, 95th percentile, in milliseconds", keys,
        axes.y_axis("", about=4), *parts,
    )  # fmt: skip


def _axes(course: Course, high: float) -> Frame:
    x = Scale(course.edges_s[0], course.edges_s[-1], LEFT, WIDTH - RIGHT)
    return Frame(WIDTH, HEIGHT, x, Scale(0.0, high, BOTTOM, TOP))


def _chart(
    frame: WatchFrame, axes: Frame, title: str, keys: list[tuple[str, str]],
    *parts: str,
) -> str:  # fmt: skip
    course, top, bottom = frame.course, axes.y.end, axes.y.start
    marks = [line(axes.x(at), bottom, axes.x(at), top, class_="event") for at in course.events_s]
    marks += [line(axes.x(at), bottom, axes.x(at), top, class_="change") for at in course.changes_s]
    if not frame.live:
        x = axes.x(frame.at_s)
        marks.append(line(x, bottom, x, top, class_="cursor"))
    return picture(
        WIDTH, HEIGHT, title, legend(LEFT, 14, keys, gap=8),
        axes.x_axis("", _seconds(frame), about=5), *parts, *marks,
    )  # fmt: skip


def _seconds(frame: WatchFrame) -> Callable[[float], str]:
    """How times are written: live, how long ago."""

    def write(at_s: float) -> str:
        told = at_s - frame.at_s if frame.live else at_s
        return f"{told:.0f} s"

    return write


def _known(course: Course, at_s: float) -> int:
    """How many bins have begun."""
    return sum(edge < at_s for edge in course.edges_s[:-1])


def _band(axes: Frame, course: Course, low: list[float], high: list[float], known: int) -> str:
    """Steps along `high` and back along `low`, of the bins that are known."""
    there, back = [], []
    for k in range(known):
        x1, x2 = axes.x(course.edges_s[k]), axes.x(course.edges_s[k + 1])
        there += [f"{x1:.1f} {axes.y(high[k]):.1f}", f"{x2:.1f} {axes.y(high[k]):.1f}"]
        back += [f"{x1:.1f} {axes.y(low[k]):.1f}", f"{x2:.1f} {axes.y(low[k]):.1f}"]
    # Each bin adds its left end before its right one, so the way back is simply the reverse.
    return "M" + " L".join([*there, *reversed(back)]) + " Z" if there else "M0 0"


def _line(axes: Frame, course: Course, values: Values) -> str:
    """Straight lines between the middles of the bins that have a value; gaps where none has."""
    told, begins = [], True
    for k, value in enumerate(values):
        if value is None:
            begins = True
            continue
        x = axes.x((course.edges_s[k] + course.edges_s[k + 1]) / 2)
        told.append(f"{'M' if begins else 'L'}{x:.1f} {axes.y(value):.1f}")
        begins = False
    return " ".join(told) or "M0 0"
