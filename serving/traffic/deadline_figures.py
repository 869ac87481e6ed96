"""What became of the queries that have a deadline, by task and deadline class (F13, F20)."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from cluster.deadline_classes import base_task
from cluster.document import FrozenModel
from serving.traffic.measurement import Measurements

__all__ = ["DeadlineFigures", "figures_by_deadline", "say_deadlines"]


class DeadlineFigures(FrozenModel):
    """The queries of a task with a deadline, of one class of it, or of what is in no class."""

    deadline_s: float | None = Field(default=None, description="absent: without a deadline")
    queries: int
    accuracy: float = Field(description="sum of scores / queries; refused and failed count 0")
    answered_share: float
    kept_share: float | None = Field(
        default=None,
        description="share of all its queries that were answered within the deadline, counted from "
        "the scheduled time; absent: without a deadline",
    )
    latency_p50_s: float | None = Field(default=None, description="absent if none was answered")
    latency_p99_s: float | None = None


def figures_by_deadline(measurements: Measurements) -> dict[str, DeadlineFigures]:
    """Figures of every task and class with a deadline that was asked, and of the rest of those
    tasks, by name; nothing for a run without deadlines."""
    deadlines_s = measurements.run.deadlines_s
    concerned = {base_task(name) for name in deadlines_s}
    asked = (str(task) for task in np.unique(measurements.task))
    return {
        name: _figures(measurements.select(measurements.task == name), deadlines_s.get(name))
        for name in asked
        if base_task(name) in concerned
    }


def say_deadlines(figures: dict[str, DeadlineFigures]) -> str:
    """The share of each that kept its deadline, in words; empty where none has one."""
    told = [
        f"{name} {found.kept_share:.1%} in {found.deadline_s:g} s"
        for name, found in figures.items()
        if found.kept_share is not None and found.deadline_s is not None
    ]
    return f"answered within their deadline: {', '.join(told)}" if told else ""


def _figures(rows: Measurements, deadline_s: float | None) -> DeadlineFigures:
    answered = rows.answered
    latency_s = rows.latency_s[answered]
    some = len(latency_s) > 0
    kept = None if deadline_s is None else float((latency_s <= deadline_s).sum() / len(rows))
    return DeadlineFigures(
        deadline_s=deadline_s,
        queries=len(rows),
        accuracy=float(np.where(answered, rows.score, 0.0).mean()),
        answered_share=float(answered.mean()),
        kept_share=kept,
        latency_p50_s=float(np.quantile(latency_s, 0.5)) if some else None,
        latency_p99_s=float(np.quantile(latency_s, 0.99)) if some else None,
    )
