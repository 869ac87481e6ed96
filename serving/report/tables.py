"""The rows behind the tables of a page, unrounded, with units in the names of their columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from serving.report.compare import rank
from serving.report.downloads import flat_row
from serving.report.link_use import PlannedLink
from serving.report.report import Report
from serving.report.streams import StreamRow
from serving.traffic.measurement import MeasurementRun

__all__ = ["LinkRow", "Rows", "link_rows", "page_tables"]

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class LinkRow:
    """A link: what the plan sends up it, its budget, and what went up in the run."""

    source: str
    target: str
    budget_bytes_per_s: float
    planned_bytes_per_s: float
    planned_share: float
    measured_bytes_per_s: float | None
    measured_share: float | None


def link_rows(links: Sequence[PlannedLink], run: MeasurementRun) -> tuple[LinkRow, ...]:
    """A row for each link; without measured bytes where the run's file has none."""
    rows = []
    for link in links:
        sent_bytes = run.link_bytes.get(link.name)
        rate = None if sent_bytes is None else sent_bytes / run.duration_s
        rows.append(
            LinkRow(
                link.source, link.target, link.budget_bytes_per_s, link.planned_bytes_per_s,
                link.share, rate, None if rate is None else rate / link.budget_bytes_per_s,
            )
        )  # fmt: skip
    return tuple(rows)


def page_tables(
    report: Report, links: Sequence[LinkRow], streams: Sequence[StreamRow]
) -> dict[str, Rows]:
    """Name -> rows of every table that the page of `report` shows."""
    measured = report.measured
    found = {
        "links": [flat_row(row) for row in links],
        "predictions": [flat_row(row) for row in report.verdicts or ()],
        "streams": [flat_row(row) for row in streams],
        "summary": [{"figure": name, "value": value} for name, value in flat_row(measured).items()],
        "deadlines": [flat_row(row, of=name) for name, row in sorted(measured.by_deadline.items())],
        "policies": [flat_row(row) for row in rank(report.policies or ())],
        "changes": [flat_row(row) for row in report.changes],
    }
    if measured.sent is not None:
        each = [("all", measured.sent.total), *sorted(measured.sent.by_client.items())]
        found["traffic"] = [flat_row(row, client=name) for name, row in each]
    if report.live is not None:
        parts = {
            "live loop": report.live.live_after_flip,
            "frozen plan": report.live.frozen_after_flip,
        }
        found["live"] = [flat_row(row, of=name) for name, row in parts.items()]
    return {name: rows for name, rows in found.items() if rows}
