"""The charts of one run: predicted against measured, latency, and where the time went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

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
from serving.traffic.summary import SHED, TIERS

__all__ = ["draw_latency", "draw_pairs", "draw_shares", "draw_stages", "stages_at"]

_WIDTH = 480.0
_STAGES = ("link_s", "queue_s", "batch_wait_s", "compute_s")
_SHARES = (0.5, 0.95, 0.99)
_STAGE_WORDS = {
    "link_s": "link",
    "queue_s": "queue",
    "batch_wait_s": "batch wait",
    "compute_s": "compute",
    "rest_s": "decode, HTTP, rest",
}


def draw_pairs(
    names: Sequence[str],
    predicted: Mapping[str, float],
    measured: Mapping[str, float],
    *,
    title: str,
    axis: str,
    high: float = 1.0,
    percent: bool = False,
    intervals: Mapping[str, tuple[float, float]] | None = None,
) -> str:
    """One row a name: predicted (ring) and measured (disc) on a common axis from 0 to `high`, with
    the measured one's interval where it is known."""
    row, top, left, right = 30.0, 40.0, 108.0, _WIDTH - 104
    bottom = top + row * len(names)
    frame = Frame(_WIDTH, bottom + 44, Scale(0, high, left, right), Scale(0, 1, bottom, top))
    write = "{:.0%}".format if percent else "{:g}".format
    rows = []
    for k, name in enumerate(names):
        y = top + row * (k + 0.5)
        promised, came = predicted.get(name), measured.get(name)
        rows.append(label(left - 10, y + 4, name, class_="name", text_anchor="end"))
        if promised is not None and came is not None:
            ends = frame.x(promised), frame.x(came)
            rows.append(line(ends[0], y, ends[1], y, class_="link"))
        if promised is not None:
            rows.append(element("circle", cx=frame.x(promised), cy=y, r=6, class_="ring"))
        if came is not None:
            rows.append(element("circle", cx=frame.x(came), cy=y, r=4.5, class_="disc"))
            low_high = (intervals or {}).get(name)
            if low_high is not None:  # above the marks, which would hide it
                rows.append(_interval(frame, y - 10, *low_high))
        rows.append(label(right + 12, y + 4, _pair_words(promised, came, percent), class_="tick"))
    keys = legend(
        left,
        20,
        [
            (element("circle", r=6, class_="ring"), "predicted"),
            (element("circle", r=4.5, class_="disc"), "measured"),
        ],
    )
    return picture(_WIDTH, frame.height, title, keys, frame.x_axis(axis, write), *rows)


def _interval(frame: Frame, y: float, low: float, high: float) -> str:
    x1, x2 = frame.x(low), frame.x(high)
    return element(
        "g",
        element("title", f"95 % interval: {low:.3f} to {high:.3f}"),
        line(x1, y, x2, y, class_="range"),
        line(x1, y - 3, x1, y + 3, class_="range"),
        line(x2, y - 3, x2, y + 3, class_="range"),
    )


def _pair_words(promised: float | None, came: float | None, percent: bool) -> str:
    def write(value: float | None) -> str:
        if value is None:
            return "–"
        return f"{value:.0%}" if percent else f"{value:.3f}"

    return f"{write(promised)} → {write(came)}"


def draw_shares(predicted: Mapping[str, float], measured: Mapping[str, float]) -> str:
    """Two bars, each divided into client, edge, cloud and shed."""
    left, right, height = 80.0, _WIDTH - 22, 30.0
    scale = Scale(0, 1, left, right)
    parts = []
    for k, (name, shares) in enumerate((("predicted", predicted), ("measured", measured))):
        y, at = 38 + k * 44.0, 0.0
        parts.append(label(left - 10, y + 20, name, class_="name", text_anchor="end"))
        for tier in (*TIERS, SHED):
            share = shares.get(tier, 0.0)
            x, width = scale(at), scale(at + share) - scale(at)
            if share > 0:
                parts.append(
                    element(
                        "rect",
                        element("title", f"{tier}: {share:.1%}"),
                        x=x,
                        y=y,
                        width=max(0.0, width - 1.5),
                        height=height,
                        fill=tier_colour(tier),
                    )
                )
            if width > 34:
                words = f"{share:.0%}"
                parts.append(
                    label(x + width / 2, y + 20, words, class_="inside", text_anchor="middle")
                )
            at += share
    swatches = [(swatch(tier_colour(tier)), tier) for tier in (*TIERS, SHED)]
    frame = Frame(_WIDTH, 160, scale, Scale(0, 1, 122, 30))
    axis = frame.x_axis("share of all queries", "{:.0%}".format)
    return picture(
        _WIDTH, 162, "Who answered, predicted and measured",
        axis, *parts, legend(left, 20, swatches),
    )  # fmt: skip


def draw_latency(measurements: Measurements) -> str:
    """Cumulative distribution of latency by tier, with the promised bound of each tier's path."""
    left, right, top, bottom = 44.0, _WIDTH - 14, 44.0, 258.0
    answered = measurements.select(measurements.answered)
    present = [tier for tier in TIERS if (answered.tier == tier).any()]
    if not present:
        words = label(_WIDTH / 2, 60, "no query was answered", class_="tick", text_anchor="middle")
        return picture(_WIDTH, 120, "Latency", words)
    latency_s = answered.latency_s
    bounds_s = {t: _bounds(answered.bound_s[answered.tier == t]) for t in present}
    deadlines_s = dict(sorted(measurements.run.deadlines_s.items(), key=lambda item: item[1]))
    ends_s = [*(np.array(b) for b in bounds_s.values()), np.array([*deadlines_s.values()])]
    everything = np.concatenate([latency_s, *ends_s])
    low = max(1e-4, float(np.quantile(latency_s, 0.001)) * 0.8)
    high = float(everything.max()) * 1.25
    frame = Frame(
        _WIDTH, bottom + 44 + 16 * (len(present) + len(deadlines_s)),
        Scale(low * 1e3, high * 1e3, left, right, logarithmic=True), Scale(0, 1, bottom, top),
    )  # fmt: skip
    curves, marks = [], []
    for k, tier in enumerate(present):
        colour = tier_colour(tier)
        curves.append(
            element("path", d=_steps(frame, latency_s[answered.tier == tier]), stroke=colour,
                    class_="curve")
        )  # fmt: skip
        for bound_s in bounds_s[tier]:
            x = frame.x(bound_s * 1e3)
            marks.append(line(x, bottom, x, top, stroke=colour, class_="bound"))
        # In lines of their own below the axis: next to the dashes, bounds would lie on each other.
        told = ", ".join(f"{bound_s * 1e3:.0f}" for bound_s in bounds_s[tier])
        words = f"{tier} promised within {told} ms" if told else f"{tier}: nothing promised"
        y = bottom + 52 + 16 * k
        marks.append(element("g", swatch(colour), transform=f"translate({left + 6} {y - 4})"))
        marks.append(label(left + 18, y, words, class_="tick"))
    for k, (task, deadline_s) in enumerate(deadlines_s.items(), start=len(present)):
        x, y = frame.x(deadline_s * 1e3), bottom + 52 + 16 * k
        marks.append(line(x, bottom, x, top, class_="deadline"))
        marks.append(line(left + 1, y - 4, left + 11, y - 4, class_="deadline"))
        words = f"{task}: deadline {deadline_s * 1e3:.0f} ms, whatever its path promises"
        marks.append(label(left + 18, y, words, class_="tick"))
    entries = [(swatch(tier_colour(tier)), tier) for tier in present]
    dashed = line(-7, 0, 7, 0, stroke="currentColor", class_="bound")
    keys = legend(left, 20, [*entries, (dashed, "promised: 2 T_b + links")])
    return picture(
        _WIDTH, frame.height, "Latency of answered queries by tier, against the promised bound",
        keys, frame.x_axis("latency from the scheduled time (ms, log scale)"),
        frame.y_axis("", "{:.0%}".format), *marks, *curves,
        label(left, 38, "share of the tier's answers", class_="axis"),
    )  # fmt: skip


def _bounds(bound_s: NDArray[np.float64]) -> list[float]:
    """The different bounds of a tier; only their range where there are many."""
    found = sorted({round(float(b), 4) for b in bound_s if b > 0})
    return found if len(found) <= 3 else [found[0], found[-1]]


def _steps(frame: Frame, latency_s: NDArray[np.float64]) -> str:
    ordered_ms = np.sort(latency_s) * 1e3
    # 200 points show all that a curve of 400 px can; a file of 10^6 queries stays small.
    share = np.unique(np.concatenate([np.linspace(0, 1, 200), [0.99, 0.999]]))
    at_ms = np.quantile(ordered_ms, share, method="inverted_cdf")
    points = [
        f"{frame.x(float(x)):.1f} {frame.y(float(y)):.1f}"
        for x, y in zip(at_ms, share, strict=True)
    ]
    return "M" + " L".join(points)


def draw_stages(measurements: Measurements) -> str:
    """Where the time of answers went, by tier, for the median answer and for slow ones."""
    left, right, row = 92.0, _WIDTH - 66, 24.0
    answered = measurements.select(measurements.answered)
    rows: list[tuple[str, str, Mapping[str, float]]] = []
    for tier in TIERS:
        of_tier = answered.select(answered.tier == tier)
        if len(of_tier):
            rows += [(tier, *each) for each in stages_at(of_tier)]
    top = 62.0
    bottom = top + row * max(1, len(rows))
    high = max((sum(stages.values()) for _, _, stages in rows), default=1e-3) * 1e3
    frame = Frame(_WIDTH, bottom + 44, Scale(0, high, left, right), Scale(0, 1, bottom, top))
    parts = []
    for k, (tier, name, stages) in enumerate(rows):
        y, at = top + row * k + 3, 0.0
        words = f"{tier} {name}" if name == "p50" else name
        parts.append(label(left - 10, y + 13, words, class_="name", text_anchor="end"))
        for stage, seconds in stages.items():
            x1, x2 = frame.x(at * 1e3), frame.x((at + seconds) * 1e3)
            told = f"{_STAGE_WORDS[stage]}: {seconds * 1e3:.1f} ms"
            parts.append(
                element("rect", element("title", told), x=x1, y=y, width=x2 - x1, height=18,
                        fill=f"var(--{stage[:-2].replace('_', '-')})")
            )  # fmt: skip
            at += seconds
        parts.append(label(frame.x(at * 1e3) + 6, y + 13, f"{at * 1e3:.0f} ms", class_="tick"))
    swatches = [
        (swatch(f"var(--{name[:-2].replace('_', '-')})"), words)
        for name, words in _STAGE_WORDS.items()
    ]
    keys = legend(left, 18, swatches[:3]) + legend(left, 38, swatches[3:])
    axis = frame.x_axis("time of an answer (ms)")
    return picture(_WIDTH, frame.height, "Where the time of an answer went", keys, axis, *parts)


def stages_at(answers: Measurements) -> list[tuple[str, Mapping[str, float]]]:
    """(`p50`, seconds by stage) and so on: means over the answers that are about as slow as that.

    Those are the answers within two percent of the rank, and at least one. What is in no stage is
    `rest_s`.
    """
    order = np.argsort(answers.latency_s, kind="stable")
    found: list[tuple[str, Mapping[str, float]]] = []
    for share in _SHARES:
        near = np.zeros(len(order), dtype=np.bool_)
        near[order[_about(share, len(order))]] = True
        rows = answers.select(near)
        stages = {name: float(getattr(rows, name).mean()) for name in _STAGES}
        rest_s = max(0.0, float(rows.latency_s.mean()) - sum(stages.values()))
        found.append((f"p{100 * share:.0f}", {**stages, "rest_s": rest_s}))
    return found


def _about(share: float, count: int) -> slice:
    middle = round(share * (count - 1))
    beside = min(int(0.02 * count), middle, count - 1 - middle)
    return slice(middle - beside, middle + beside + 1)
