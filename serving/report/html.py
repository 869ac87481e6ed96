"""`report.html`: one file that needs nothing else, made from data by a template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from planner.explanation.budget_words import amount_words
from serving.report.colours import colour_css
from serving.report.compare import rank
from serving.report.comparison_figures import (
    draw_live,
    draw_policies,
    draw_policy_latency,
)
from serving.report.downloads import as_csv, as_svg, data_uri
from serving.report.examples import Gallery
from serving.report.figures import draw_latency, draw_pairs, draw_shares, draw_stages
from serving.report.placement import Placement
from serving.report.placement_picture import draw_placement, short_name
from serving.report.plan_changes import WINDOW_S, PlanChange, plan_changes_s
from serving.report.report import Report
from serving.report.streams import StreamRow
from serving.report.tables import Rows, link_rows, page_tables
from serving.report.timeline_figures import draw_nodes, draw_refusals
from serving.traffic.measurement import Measurements
from serving.verdicts.in_words import error_in_words, group_verdicts, value_in_words
from serving.verdicts.verdict import Verdict

__all__ = [
    "Page", "draw_figures", "files_of", "milliseconds", "page_css", "page_environment", "percent",
    "render_page", "score",
]  # fmt: skip

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Page:
    """Everything the page shows. `placement` and `gallery` may be absent."""

    report: Report
    measurements: Measurements
    topology: str
    placement: Placement | None = None
    gallery: Gallery | None = None
    streams: tuple[StreamRow, ...] = ()
    planned_with: str = ""
    """how much of the budgets the plan was allowed"""


def page_environment() -> Environment:
    """Where templates are found, and how they write figures."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=percent,
        ms=milliseconds,
        score=score,
        signed="{:+.3f}".format,
        short=short_name,
        number=_number,
        value=_value,
        error=error_in_words,
        bytes_per_s=_bytes_per_s,
        moved=_moved,
    )
    return environment


def render_page(page: Page) -> str:
    """The HTML of `page`."""
    figures = draw_figures(page)
    links = link_rows(page.placement.links if page.placement else (), page.measurements.run)
    return (
        page_environment()
        .get_template("page.html")
        .render(
            page=page,
            report=page.report,
            predicted=page.report.predicted,
            measured=page.report.measured,
            regret=page.report.regret,
            groups=group_verdicts(page.report.verdicts or ()),
            certificate=page.report.certificate,
            policy=page.measurements.run.policy,
            simulated=page.measurements.run.simulated,
            gallery_tasks=_gallery_tasks(page),
            plan_changes=[f"{at_s:.1f} s" for at_s in plan_changes_s(page.measurements).values()],
            links=links,
            window_s=WINDOW_S,
            policies=rank(page.report.policies or ()),
            css=page_css(),
            figures={name: Markup(svg) for name, svg in figures.items()},
            files=files_of(page_tables(page.report, links, page.streams), figures),
        )
    )


def page_css() -> Markup:
    """The style of every page of ours, with its colours."""
    return Markup(colour_css() + (_FOLDER / "page.css").read_text(encoding="utf-8"))


def files_of(tables: Mapping[str, Rows], figures: Mapping[str, str]) -> dict[str, str]:
    """Name of each file that a page offers -> the address that holds it."""
    css = page_css()
    return {
        **{f"{name}.csv": data_uri("text/csv", as_csv(rows)) for name, rows in tables.items()},
        **{
            f"{name}.svg": data_uri("image/svg+xml", as_svg(svg, css))
            for name, svg in figures.items()
        },
    }


def _gallery_tasks(page: Page) -> list[str]:
    """Tasks of the gallery in the order of the rest of the page."""
    shown = page.gallery.tasks if page.gallery else ()
    order = [task for task in page.report.predicted.accuracy_by_task if task in shown]
    return order + [task for task in shown if task not in order]


def draw_figures(page: Page) -> dict[str, str]:
    """The drawings of `page`, by name."""
    predicted, measured = page.report.predicted, page.report.measured
    tasks = [task for task in predicted.accuracy_by_task if task in measured.accuracy_by_task]
    nodes = list(predicted.utilization_by_node)
    nodes += [node for node in measured.utilization_by_node if node not in nodes]
    busiest = max(
        [*predicted.utilization_by_node.values(), *measured.utilization_by_node.values(), 0]
    )
    drawn = {
        "tasks": draw_pairs(
            tasks, predicted.accuracy_by_task, measured.accuracy_by_task,
            title="Accuracy by task, predicted and measured",
            axis="accuracy over sent queries (task metric, 0 to 1)",
            intervals=measured.accuracy_interval_by_task,
        ),
        "shares": draw_shares(predicted.share_by_tier, measured.share_by_tier),
        "utilization": draw_pairs(
            nodes, predicted.utilization_by_node, measured.utilization_by_node,
            title="Device utilisation by node, predicted and measured",
            axis="device busy (share of the run)", high=max(0.1, busiest * 1.05), percent=True,
        ),
        "latency": draw_latency(page.measurements),
        "stages": draw_stages(page.measurements),
        "nodes": draw_nodes(page.measurements),
    }  # fmt: skip
    refusals = draw_refusals(page.measurements)
    if refusals is not None:
        drawn["refusals"] = refusals
    if page.placement is not None:
        drawn["placement"] = draw_placement(page.placement)
    if page.report.policies:
        drawn["policies"] = draw_policies(page.report.policies)
        drawn["policy_latency"] = draw_policy_latency(page.report.policies)
    if page.report.live is not None:
        drawn["live"] = draw_live(page.report.live)
    return drawn


def percent(value: Any, digits: int = 1) -> str:
    """A share as `97.5 %`; a dash for none."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def milliseconds(value_s: Any) -> str:
    """Seconds as `12 ms`, or `12.3 s` where they are many; a dash for none."""
    if value_s is None:
        return "–"
    return f"{value_s * 1e3:.0f} ms" if value_s < 10 else f"{value_s:.1f} s"


def _bytes_per_s(value: Any) -> str:
    return "–" if value is None else amount_words(value, "bytes/s")


def _moved(change: PlanChange) -> str:
    """What a change of plan moved, in words."""
    told = []
    for verb, by_node in (("loaded", change.loads), ("unloaded", change.unloads)):
        for node, models in by_node.items():
            told.append(f"{node} {verb} {', '.join(short_name(model) for model in models)}")
    if change.routes_changed is not None:
        streams = "stream" if change.routes_changed == 1 else "streams"
        share = "" if change.moved_share is None else f", {percent(change.moved_share)} of queries"
        told.append(f"routes of {change.routes_changed} {streams}{share}")
    return "; ".join(told) or "not known"


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:.3g}"


def _value(verdict: Verdict, name: str) -> str:
    return value_in_words(getattr(verdict, name), verdict.unit)


def score(value: Any) -> str:
    """A score with three digits; a dash for none."""
    return "–" if value is None else f"{value:.3f}"
