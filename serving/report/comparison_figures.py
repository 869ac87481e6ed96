"""The charts of several runs: policies side by side, and the live loop over time."""

from __future__ import annotations

from collections.abc import Sequence

from serving.report.compare import PolicyRow, rank
from serving.report.live import LiveComparison
from serving.report.svg import Frame, Scale, element, label, legend, line, picture
from serving.traffic.timeline import Timeline

__all__ = ["draw_live", "draw_policies", "draw_policy_latency"]


def draw_policies(rows: Sequence[PolicyRow]) -> str:
    """A bar a policy: measured accuracy over sent queries, its interval, and the promise."""
    width, row, top, left = 480.0, 32.0, 40.0, 104.0
    right, bottom = width - 58, top + row * len(rows)
    high = max(0.1, *(max(r.accuracy_interval[1], r.predicted_objective) for r in rows)) * 1.04
    frame = Frame(width, bottom + 44, Scale(0, high, left, right), Scale(0, 1, bottom, top))
    parts = []
    for k, policy in enumerate(rank(rows)):
        y = top + row * k + row / 2
        x, (low_x, high_x) = frame.x(policy.accuracy), map(frame.x, policy.accuracy_interval)
        best = "bar best" if k == 0 else "bar"
        parts += [
            label(left - 10, y + 4, policy.policy, class_="name", text_anchor="end"),
            element("rect", x=left, y=y - 9, width=x - left, height=18, rx=2, class_=best),
            line(low_x, y, high_x, y, class_="whisker"),
            element("circle", cx=frame.x(policy.predicted_objective), cy=y, r=6, class_="ring"),
            label(right + 10, y + 4, f"{policy.accuracy:.3f}", class_="tick"),
        ]
    keys = legend(
        left, 20,
        [
            (element("rect", x=-5, y=-5, width=10, height=10, class_="bar best"), "measured"),
            (line(-7, 0, 7, 0, class_="whisker"), "95 % interval"),
            (element("circle", r=6, class_="ring"), "predicted"),
        ],
    )  # fmt: skip
    axis = frame.x_axis("accuracy × answered share")
    return picture(width, frame.height, "Policies on the same traffic", axis, *parts, keys)


def draw_policy_latency(rows: Sequence[PolicyRow]) -> str:
    """A line a policy from p50 to p99, a mark at p95, in the order of `draw_policies`."""
    width, row, top, left = 480.0, 32.0, 40.0, 104.0
    right, bottom = width - 22, top + row * len(rows)
    found = [r.latency_s for r in rows if r.latency_s is not None]
    low_ms = max(0.1, min((f.p50 for f in found), default=0.01) * 1e3 / 1.5)
    high_ms = max(low_ms * 10, max((f.p99 for f in found), default=0.1) * 1e3 * 1.3)
    frame = Frame(
        width,
        bottom + 44,
        Scale(low_ms, high_ms, left, right, logarithmic=True),
        Scale(0, 1, bottom, top),
    )
    parts = []
    for k, policy in enumerate(rank(rows)):
        y = top + row * k + row / 2
        parts.append(label(left - 10, y + 4, policy.policy, class_="name", text_anchor="end"))
        if policy.latency_s is None:
            parts.append(label(left + 8, y + 4, "answered nothing", class_="tick"))
            continue
        x50, x95, x99 = (frame.x(getattr(policy.latency_s, p) * 1e3) for p in ("p50", "p95", "p99"))
        parts += [
            line(x50, y, x99, y, class_="range"),
            element("circle", cx=x50, cy=y, r=5, class_="disc"),
            element("circle", cx=x95, cy=y, r=4, class_="disc"),
            line(x99, y - 7, x99, y + 7, class_="range"),
        ]
    keys = legend(
        left,
        20,
        [
            (element("circle", r=5, class_="disc"), "p50"),
            (element("circle", r=4, class_="disc"), "p95"),
            (line(0, -7, 0, 7, class_="range"), "p99"),
        ],
    )
    axis = frame.x_axis("latency of answered queries (ms, log scale)")
    return picture(width, frame.height, "Latency by policy", axis, *parts, keys)


def draw_live(comparison: LiveComparison) -> str:
    """Accuracy over time with the loop and on the frozen plan; dashes where a plan went out."""
    width, left, right, top, bottom = 1000.0, 50.0, 986.0, 58.0, 280.0
    lines = (comparison.live_timeline, comparison.frozen_timeline)
    end_s = max(len(t.queries) * t.bin_s for t in lines)
    values = [value for t in lines for value in t.accuracy if value is not None]
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.15 * (high - low) + 0.01
    frame = Frame(
        width,
        bottom + 44,
        Scale(0, end_s, left, right),
        Scale(max(0.0, low - room), min(1.0, high + room), bottom, top),
    )
    flip_x = frame.x(comparison.flip_s)
    flip = [
        element("rect", x=flip_x, y=top, width=right - flip_x, height=bottom - top, class_="phase"),
        label(flip_x - 6, bottom - 8, "task mix flips →", class_="tick", text_anchor="end"),
    ]
    marks = flip if comparison.flip_s > 0 else []
    for k, change in enumerate(comparison.plan_changes):
        x = frame.x(change.at_s)
        marks.append(line(x, bottom, x, top, class_="change"))
        # Plans that follow each other quickly would write over each other on one line.
        marks.append(label(x + 4, top + 14 + 13 * (k % 2), f"v{change.version}", class_="tick"))
    curves = [
        element("path", d=_course(frame, timeline), class_=f"curve {name}")
        for name, timeline in (("frozen", lines[1]), ("live", lines[0]))
    ]
    keys = legend(
        left, 20,
        [
            (line(-7, 0, 7, 0, class_="curve live"), "with the live loop"),
            (line(-7, 0, 7, 0, class_="curve frozen"), "frozen plan"),
            (line(0, -7, 0, 7, class_="change"), "a plan went out"),
        ],
    )  # fmt: skip
    title = f"accuracy over sent queries, bins of {lines[0].bin_s:g} s"
    return picture(
        width, frame.height, "Accuracy over time with and without the live loop",
        *marks, frame.x_axis("seconds from the start", about=10),
        frame.y_axis("", "{:.2f}".format), *curves, keys,
        label(left, 44, title, class_="axis"), class_="chart wide",
    )  # fmt: skip


def _course(frame: Frame, timeline: Timeline) -> str:
    """A line through the middles of the bins, broken where a bin had no query."""
    path, pen_down = [], False
    for at_s, value in zip(timeline.middles_s, timeline.accuracy, strict=True):
        if value is None:
            pen_down = False
            continue
        path.append(f"{'L' if pen_down else 'M'}{frame.x(at_s):.1f} {frame.y(value):.1f}")
        pen_down = True
    return " ".join(path)
