"""The numbers of a run: a pure function from its measurements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from cluster.document import FrozenModel
from cluster.errors import InputError
from serving.system import Outcome
from serving.traffic.deadline_figures import (
    DeadlineFigures,
    figures_by_deadline,
    say_deadlines,
)
from serving.traffic.driver import SATURATED
from serving.traffic.measurement import Measurements
from serving.traffic.sent import SentTraffic

__all__ = [
    "SHED",
    "TIERS",
    "LatencyS",
    "LatenessS",
    "RunSummary",
    "say_measured",
    "summarise",
    "summarise_run",
]

TIERS = ("client", "edge", "cloud")
SHED = "shed"
MOST_LATE = 0.01
"""of a node's batches that may come later than from the device that it emulates"""


class LatencyS(FrozenModel):
    """Latency of answered queries, from the scheduled send time, in seconds."""

    p50: float
    p95: float
    p99: float
    mean: float
    max: float


class LatenessS(FrozenModel):
    """How late the generator itself sent, in seconds."""

    p50: float
    p99: float


class RunSummary(FrozenModel):
    """What came back; the `measured` part of `report.json`."""

    accuracy: float = Field(description="sum of scores / queries; refused and failed count 0 (F1)")
    accuracy_interval: tuple[float, float] = Field(
        description="95 % normal interval, queries of one image taken as one cluster"
    )
    accuracy_by_task: dict[str, float]
    accuracy_interval_by_task: dict[str, tuple[float, float]] = Field(
        default_factory=dict, description="the same interval for each task"
    )
    accuracy_of_answered: float | None = Field(
        default=None, description="sum of scores / answered; absent if nothing was answered"
    )
    answered_share: float
    share_by_tier: dict[str, float] = Field(
        description="share of all queries answered by client, edge, cloud, and share shed"
    )
    latency_s: LatencyS | None = None
    deadline_met_share: float | None = Field(
        default=None, description="share of answers within the promised bound of their path"
    )
    within_bound_share: float = Field(
        description="share of all queries answered within the bound of their path"
    )
    goodput_accuracy: float = Field(
        description="as `accuracy`, where an answer after its bound counts 0, too"
    )
    utilization_by_node: dict[str, float] = Field(description="busy device seconds per second")
    late_batch_share_by_node: dict[str, float] = Field(
        default_factory=dict,
        description="of a node that emulates a device: batches that came later than from it",
    )
    invalid: str = Field(
        default="", description="why the run's times do not hold; empty where nothing is known"
    )
    queries: int
    answered: int
    shed: int
    errors: int
    spilled: int = Field(
        default=0, description="answered on another way, since their plan's was full"
    )
    saturated: int = Field(default=0, description="errors that are the generator's own (its cap)")
    generator_lateness_s: LatenessS
    duration_s: float
    by_deadline: dict[str, DeadlineFigures] = Field(
        default_factory=dict,
        description="tasks that have a deadline or deadline classes (F13, F20), and their classes",
    )
    sent: SentTraffic | None = Field(default=None, description="how uneven the arrivals were")

    @model_validator(mode="after")
    def _every_query_is_accounted_for(self) -> Self:
        if self.answered + self.shed + self.errors != self.queries:
            raise ValueError(
                f"answered {self.answered} + shed {self.shed} + errors {self.errors} "
                f"is not queries {self.queries}"
            )
        return self


def summarise(
    measurements: Measurements,
    duration_s: float,
    node_busy_s: Mapping[str, float],
    sent: SentTraffic | None = None,
) -> RunSummary:
    """Summary of a run of `duration_s` seconds, `node_busy_s` = device-busy seconds by node.

    `sent` describes the traffic of these measurements.

    Raises `InputError` if there is no query, `ValueError` if there is no duration, or a query that
    is in no outcome.
    """
    queries = len(measurements)
    if not queries:
        raise InputError("nothing to summarise: the run has no query")
    if duration_s <= 0:
        raise ValueError(f"duration_s must be positive, got {duration_s}")
    answered = measurements.answered
    score = np.where(answered, measurements.score, 0.0)
    latency_s = measurements.latency_s[answered]
    count = int(answered.sum())
    shed = int((measurements.outcome == Outcome.SHED).sum())
    errors = int((measurements.outcome == Outcome.ERROR).sum())
    within = measurements.in_time[answered]
    lateness_s = measurements.lateness_s
    late_share = _late_share(measurements)
    return RunSummary(
        accuracy=float(score.mean()),
        accuracy_interval=_interval(score, measurements.image),
        accuracy_by_task={
            str(task): float(score[measurements.task == task].mean())
            for task in np.unique(measurements.task)
        },
        accuracy_interval_by_task={
            str(task): _interval(score[of_task], measurements.image[of_task])
            for task in np.unique(measurements.task)
            for of_task in (measurements.task == task,)
        },
        accuracy_of_answered=float(score.sum() / count) if count else None,
        answered_share=count / queries,
        share_by_tier={
            **{t: float((answered & (measurements.tier == t)).mean()) for t in TIERS},
            SHED: shed / queries,
        },
        latency_s=_latency(latency_s),
        deadline_met_share=float(within.mean()) if count else None,
        within_bound_share=float(within.sum() / queries),
        goodput_accuracy=float(score[answered][within].sum() / queries),
        utilization_by_node={
            node: busy_s / duration_s for node, busy_s in sorted(node_busy_s.items())
        },
        late_batch_share_by_node=late_share,
        invalid=_why_invalid(late_share),
        queries=queries,
        answered=count,
        shed=shed,
        errors=errors,
        spilled=int(np.sum(measurements.answered & (measurements.reason != ""))),
        saturated=int(np.char.startswith(measurements.reason, SATURATED).sum()),
        generator_lateness_s=LatenessS(
            p50=float(np.quantile(lateness_s, 0.5)), p99=float(np.quantile(lateness_s, 0.99))
        ),
        duration_s=duration_s,
        by_deadline=figures_by_deadline(measurements),
        sent=sent,
    )


def _late_share(measurements: Measurements) -> dict[str, float]:
    """By node that emulates a device: late batches / batches of the whole run."""
    late = measurements.run.late_batches
    counted = sorted(measurements.run.batches.items())
    return {node: late.get(node, 0) / max(1, count) for node, count in counted}


def _why_invalid(late_share: Mapping[str, float]) -> str:
    """Why the times of a run do not hold: nodes that emulate a device and were often late."""
    late = [f"{node} {share:.1%}" for node, share in late_share.items() if share > MOST_LATE]
    if not late:
        return ""
    return (
        f"the host was slower than the devices that it emulates, for over {MOST_LATE:.0%} of "
        f"batches: {', '.join(late)}"
    )


def _latency(latency_s: NDArray[np.float64]) -> LatencyS | None:
    if not len(latency_s):
        return None
    p50, p95, p99 = np.quantile(latency_s, [0.5, 0.95, 0.99])
    return LatencyS(
        p50=float(p50),
        p95=float(p95),
        p99=float(p99),
        mean=float(latency_s.mean()),
        max=float(latency_s.max()),
    )


def _interval(score: NDArray[np.float64], image: NDArray[np.int32]) -> tuple[float, float]:
    """95 % interval of the mean score, robust to an image being asked about many times: Student's,
    with a degree of freedom for each image but one. Of a single image nothing follows."""
    from scipy.special import stdtrit  # here, since few commands ask

    mean = float(score.mean())
    _, cluster = np.unique(image, return_inverse=True)
    residual = np.bincount(cluster, weights=score - mean)
    images = len(residual)
    if images < 2:
        return 0.0, 1.0
    spread = float(np.sqrt(np.sum(residual**2) * images / (images - 1)))
    half_width = float(stdtrit(images - 1, 0.975)) * spread / len(score)
    return max(0.0, mean - half_width), min(1.0, mean + half_width)


def summarise_run(rows: Measurements) -> RunSummary:
    """The summary of a whole run."""
    return summarise(rows, rows.run.duration_s, rows.run.busy_s, rows.run.sent)


def say_measured(measured: RunSummary) -> str:
    """The numbers of a run in one line, for people."""
    latency = measured.latency_s
    words = (
        f"p50 {latency.p50 * 1e3:.0f} ms, p95 {latency.p95 * 1e3:.0f} ms, "
        f"p99 {latency.p99 * 1e3:.0f} ms"
        if latency
        else "nothing was answered"
    )
    met = measured.deadline_met_share
    kept = say_deadlines(measured.by_deadline)
    return (
        f"{measured.queries} queries: {measured.answered} answered, {measured.shed} shed, "
        f"{measured.errors} errors; accuracy {measured.accuracy:.3f}; {words}"
        + (f"; {met:.1%} within the promised bound" if met is not None else "")
        + (f"; {kept}" if kept else "")
        + (f"; INVALID: {measured.invalid}" if measured.invalid else "")
    )
