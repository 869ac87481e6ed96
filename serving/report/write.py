"""Writing a report's files: `report.json` and `report.html`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cluster.document import write_together
from cluster.errors import InputError
from cluster.provenance import collect_provenance
from planner.plan import Plan
from serving.report.compare import PolicyRow
from serving.report.examples import Gallery
from serving.report.html import Page, render_page
from serving.report.live import LiveComparison
from serving.report.placement import Placement
from serving.report.regret import Regret
from serving.report.report import Report, build_report
from serving.report.streams import stream_rows
from serving.traffic.measurement import Measurements
from serving.traffic.summary import summarise_run
from serving.verdicts.verdict import Verdict

__all__ = ["write_report"]


def write_report(
    folder: str | Path,
    plan: Plan,
    measurements: Measurements,
    *,
    command: str,
    topology: str,
    placement: Placement | None = None,
    gallery: Gallery | None = None,
    policies: Sequence[PolicyRow] | None = None,
    live: LiveComparison | None = None,
    regret: Regret | None = None,
    verdicts: Sequence[Verdict] | None = None,
) -> Report:
    """Write `report.json` and `report.html` into `folder`, both or neither. Raises `InputError` for
    a plan that carries no prediction or certificate (one that was written by hand)."""
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
        policies=policies,
        live=live,
        regret=regret,
        verdicts=verdicts,
    )
    folder = Path(folder)
    page = render_page(
        Page(
            report, measurements, topology, placement, gallery,
            stream_rows(plan, measurements), _planned_with(plan),
        )
    )  # fmt: skip
    write_together({folder / "report.json": report.as_text(".json"), folder / "report.html": page})
    return report


def _planned_with(plan: Plan) -> str:
    """How much of the budgets the plan was allowed: `fill` is no share of windows under F11."""
    if plan.overrun is None:
        return f"{plan.fill:.0%} of the window and compute budgets"
    return (
        f"{plan.fill:.0%} of the compute budgets, and windows of which at most {plan.overrun:.0%} "
        "overrun (F11)"
    )
