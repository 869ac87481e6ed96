"""The live loop beside a frozen plan, on the same traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cluster.document import FrozenModel
from serving.report.plan_changes import PlanChange
from serving.traffic.measurement import Measurements
from serving.traffic.summary import RunSummary, summarise
from serving.traffic.timeline import Timeline, bin_timeline

__all__ = ["LiveComparison", "compare_live"]


class LiveComparison(FrozenModel):
    """Whole run, part after the last change of the task mix, and course over time."""

    flip_s: float
    """scheduled time at which the last phase of the demand begins"""
    live: RunSummary
    frozen: RunSummary
    live_after_flip: RunSummary
    frozen_after_flip: RunSummary
    live_timeline: Timeline
    frozen_timeline: Timeline
    plan_changes: tuple[PlanChange, ...]

    @property
    def gain_after_flip(self) -> float:
        """Accuracy over sent queries that re-planning brought after the flip."""
        return self.live_after_flip.accuracy - self.frozen_after_flip.accuracy


def compare_live(
    live: Measurements,
    frozen: Measurements,
    plan_changes: Sequence[PlanChange],
    *,
    live_busy_s: Mapping[str, float],
    frozen_busy_s: Mapping[str, float],
    bin_s: float = 5.0,
) -> LiveComparison:
    """Compare two runs of one schedule; `*_busy_s` = device-busy seconds by node, whole run.

    Raises `ValueError` if the runs did not get the same queries.
    """
    same = len(live) == len(frozen) and bool((live.scheduled_s == frozen.scheduled_s).all())
    if not same:
        raise ValueError(
            f"the live run ({len(live)} queries) and the frozen run ({len(frozen)} queries) "
            "did not get the same traffic"
        )
    starts_s = live.run.phase_starts_s
    duration_s, flip_s = live.run.duration_s, starts_s[-1]
    last = len(starts_s) - 1
    return LiveComparison(
        flip_s=flip_s,
        live=summarise(live, duration_s, live_busy_s),
        frozen=summarise(frozen, duration_s, frozen_busy_s),
        live_after_flip=summarise(live.in_phase(last), duration_s - flip_s, {}),
        frozen_after_flip=summarise(frozen.in_phase(last), duration_s - flip_s, {}),
        live_timeline=bin_timeline(live, bin_s),
        frozen_timeline=bin_timeline(frozen, bin_s),
        plan_changes=tuple(plan_changes),
    )
