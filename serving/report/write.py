"""Writing a report's files: `report.json` and `report.html`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, Unpack

from cluster.document import write_together
from cluster.errors import InputError
from cluster.provenance import collect_provenance
from planner.plan import Plan
from serving.report.compare import PolicyRow
from serving.report.examples import Gallery
from serving.report.html import Page, render_page
from serving.report.live import LiveComparison
from serving.report.placement import Placement
from serving.report.plan_changes import PlanChange
from serving.report.regret import Regret
from serving.report.report import Report, build_report
from serving.report.streams import stream_rows
from serving.traffic.measurement import Measurements
from serving.traffic.summary import summarise_run
from serving.verdicts.verdict import Verdict

__all__ = ["PageParts", "make_page", "write_report"]


class PageParts(TypedDict, total=False):
    """What a report may have beside its plan and measurements."""

    placement: Placement | None
    gallery: Gallery | None
    policies: Sequence[PolicyRow] | None
    live: LiveComparison | None
    regret: Regret | None
    verdicts: Sequence[Verdict] | None
    reasons: Sequence[str]
    plan_changes: Sequence[PlanChange]


def write_report(
    folder: str | Path,
    plan: Plan,
    measurements: Measurements,
    *,
    command: str,
    topology: str,
    **parts: Unpack[PageParts],
) -> Report:
    """Write `report.json` and `report.html` into `folder`, both or neither. Raises what `make_page`
    raises."""
    page = make_page(plan, measurements, command=command, topology=topology, **parts)
    folder, text = Path(folder), page.report.as_text(".json")
    write_together({folder / "report.json": text, folder / "report.html": render_page(page)})
    return page.report


def make_page(
    plan: Plan,
    measurements: Measurements,
    *,
    command: str,
    topology: str,
    **parts: Unpack[PageParts],
) -> Page:
    """The report of a run and all else that its page shows. Raises `InputError` for a plan that
    carries no prediction or certificate (one that was written by hand)."""
    if plan.predicted is None or plan.certificate is None:
        raise InputError("the plan carries no prediction; make it with `testbed plan`")
    report = build_report(
        plan.predicted,
        summarise_run(measurements),
        plan.certificate,
        collect_provenance(
            command,
            seed=measurements.run.provenance.seed,
            packages=("torch", "torchvision", "timm", "ray", "highspy", "gurobipy"),
        ),
        bounds_s=measurements.run.bounds_s,
        policies=parts.get("policies"),
        live=parts.get("live"),
        regret=parts.get("regret"),
        verdicts=parts.get("verdicts"),
        reasons=parts.get("reasons", ()),
        plan_changes=parts.get("plan_changes", ()),
    )
    return Page(
        report, measurements, topology, parts.get("placement"), parts.get("gallery"),
        stream_rows(plan, measurements), _planned_with(plan),
    )  # fmt: skip


def _planned_with(plan: Plan) -> str:
    """How much of the budgets the plan was allowed: `fill` is no share of windows under F11."""
    if plan.overrun is None:
        return f"{plan.fill:.0%} of the window and compute budgets"
    return (
        f"{plan.fill:.0%} of the compute budgets, and windows of which at most {plan.overrun:.0%} "
        "overrun (F11)"
    )
