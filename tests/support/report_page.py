"""The page of the made-up run with every part that a page can have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from serving.report.examples import pick_examples
from serving.report.html import Page
from serving.report.link_use import PlannedLink
from serving.report.placement import build_placement
from serving.report.plan_changes import LoggedChange, changes_seen
from serving.report.streams import stream_rows
from serving.verdicts.verdict import Held, Quantity, Source, Verdict
from support.synthetic_run import Synthetic, images

__all__ = ["LINKS", "full_page", "made_verdict"]

LINKS = (
    PlannedLink("client-0", "edge-0", 61e3, 245e3),
    PlannedLink("client-1", "edge-0", 245e3, 245e3),
    PlannedLink("client-2", "edge-0", 122.5e3, 245e3),
    PlannedLink("edge-0", "cloud", 1.4e6, 2.1e6),
)
SENT_BYTES = {link.name: int(88 * link.planned_bytes_per_s) for link in LINKS[:3]}
"""up the clients' links in the run's 90 s"""
CHANGED_S = 52.0


def full_page(made: Synthetic) -> Page:
    """One change of plan, links of which one is full, a prediction that failed, and pictures."""
    due_s = made.measurements.scheduled_s
    versions = np.where(due_s < CHANGED_S, 1, 2).astype(np.int32)
    rows = replace(
        made.measurements,
        run=made.measurements.run.model_copy(update={"link_bytes": SENT_BYTES}),
        plan_version=np.where(made.measurements.answered, versions, 0).astype(np.int32),
    )
    before = made.plan.model_copy(
        update={
            "routes": made.plan.routes[2:],
            "onloading": {**made.plan.onloading, "client-0": ("rooms-small-depth",)},
        }
    )
    after = made.plan.model_copy(update={"load_qps": made.phase.rates_qps})
    logged = {2: LoggedChange(before, after, "gains 0.031 for sure over 60 s", 0.66)}
    verdicts = (
        made_verdict("client-0", 0.31, Held.NO, "interference: <busy>"),
        made_verdict("edge-0", 0.01, Held.YES, ""),
    )
    report = made.report.model_copy(
        update={
            "verdicts": verdicts,
            "plan_changes": changes_seen(rows, logged),
            "reasons": ("uplink client-1 → edge-0 is full (245 KB/s, F7)",),
        }
    )
    return Page(
        report,
        rows,
        "demo",
        build_placement(made.topology, made.plan, made.phase, made.profiles, LINKS),
        pick_examples(made.schedule, made.records, images(24), render=_paint),
        stream_rows(made.plan, rows),
        "60 % of the window and compute budgets",
    )


def made_verdict(node: str, error: float, held: Held, cause: str) -> Verdict:
    """A batch of 10 ms that took longer by `error`, within 15 %."""
    return Verdict(
        quantity=Quantity.BATCH_LATENCY, where=f"m on {node}", source=Source.PROFILE,
        predicted=0.01, measured=0.01 * (1 + error), unit="s", error=error, relative=True,
        tolerance=0.15, margin=0.01, held=held, cause=cause,
    )  # fmt: skip


def _paint(task: str, array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(array[..., None], 3, axis=2)
