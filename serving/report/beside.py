"""A page with two runs side by side: their figures, and how sure the difference is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from markupsafe import Markup

from serving.report.html import (
    Page,
    draw_figures,
    files_of,
    milliseconds,
    page_css,
    page_environment,
    percent,
    score,
)  # fmt: skip
from serving.report.paired import paired_difference
from serving.traffic.measurement import Measurements

__all__ = ["BesideRow", "beside_rows", "render_beside", "same_traffic"]

_TITLES = {
    "tasks": "Accuracy by task",
    "shares": "Who answered",
    "utilization": "Device utilisation",
    "latency": "Latency",
    "stages": "Where the time of an answer went",
    "nodes": "Over time",
}
SAME_TRAFFIC = ("client", "task", "image", "scheduled_s")
"""columns that are equal where two runs were sent the same queries"""


@dataclass(frozen=True, slots=True)
class BesideRow:
    """A figure of both runs, in words."""

    name: str
    first: str
    second: str
    difference: str


def same_traffic(first: Measurements, second: Measurements) -> bool:
    """Whether both were sent the same queries at the same times."""
    return len(first) == len(second) and all(
        np.array_equal(getattr(first, name), getattr(second, name)) for name in SAME_TRAFFIC
    )


def beside_rows(names: tuple[str, str], pages: tuple[Page, Page]) -> Iterator[BesideRow]:
    """The rows of the table; the interval of accuracy is there where both had the same traffic."""
    first, second = (page.report.measured for page in pages)
    accuracy = f"{second.accuracy - first.accuracy:+.3f}"
    if same_traffic(*(page.measurements for page in pages)):
        found = paired_difference([pages[1].measurements], [pages[0].measurements], names[0])
        accuracy = f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f}), {found.words}"
    one, other = (page.measurements.run.policy for page in pages)
    yield BesideRow("policy", one, other, "")
    promised = [page.report.predicted.accuracy for page in pages]
    yield _row("promised accuracy", promised[0], promised[1], score, 1, "")
    yield BesideRow("measured accuracy", score(first.accuracy), score(second.accuracy), accuracy)
    yield _row("answered", first.answered_share, second.answered_share, percent, 100, " points")
    yield _row(
        "answered within the bound, of all queries",
        first.within_bound_share, second.within_bound_share, percent, 100, " points",
    )  # fmt: skip
    for name in ("p50", "p95", "p99"):
        seconds = tuple(
            float(getattr(each.latency_s, name)) if each.latency_s else None
            for each in (first, second)
        )
        yield _row(f"latency, {name}", seconds[0], seconds[1], milliseconds, 1e3, " ms")
    for name, before, after in (
        ("queries", first.queries, second.queries),
        ("refused", first.shed, second.shed),
        ("failed", first.errors, second.errors),
    ):
        yield BesideRow(name, f"{before:,}", f"{after:,}", f"{after - before:+,}")


def _row(
    name: str,
    first: float | None,
    second: float | None,
    write: Callable[[float | None], str],
    scale: float,
    unit: str,
) -> BesideRow:
    difference, digits = "", "+.3f" if scale == 1 else "+.1f"
    if first is not None and second is not None:
        difference = f"{scale * (second - first):{digits}}{unit}"
    return BesideRow(name, write(first), write(second), difference)


def render_beside(
    names: tuple[str, str], pages: tuple[Page, Page], rows: Sequence[BesideRow]
) -> str:
    """The HTML of two runs, by their names, with the rows of their table."""
    drawn = [draw_figures(page) for page in pages]
    figures = [
        (title, name, [Markup(each[name]) for each in drawn])
        for name, title in _TITLES.items()
        if all(name in each for each in drawn)
    ]
    drawings = {
        f"{name}-{k}": each[name]
        for k, each in enumerate(drawn, start=1)
        for name in _TITLES
        if name in each
    }
    table = [dict(zip(("figure", *names, "difference"), astuple(row), strict=True)) for row in rows]
    same = same_traffic(*(page.measurements for page in pages))
    lead = (
        "Both were sent the same queries at the same times, so their difference is paired."
        if same
        else "They were sent different traffic: part of their difference is the traffic's."
    )
    return (
        page_environment()
        .get_template("beside.html")
        .render(
            names=names,
            rows=rows,
            figures=figures,
            lead=lead,
            css=page_css(),
            files=files_of({"figures": table}, drawings),
        )
    )
