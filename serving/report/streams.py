"""What each client's tasks were promised and got, tier by tier."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from planner.plan import Plan
from serving.normal_errors import NORMAL_95
from serving.traffic.measurement import Measurements
from serving.traffic.summary import SHED, TIERS

__all__ = ["StreamRow", "stream_rows"]


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A client's queries of a task on one tier, or refused (`shed`).

    Shares are of the client's queries of that task. Accuracy and latency are of the answers: None
    where there are none. `half_width` is that of accuracy's 95 % normal interval.
    """

    client: str
    task: str
    tier: str
    queries: int
    planned_share: float
    measured_share: float
    accuracy: float | None = None
    half_width: float | None = None
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None


def stream_rows(plan: Plan, measurements: Measurements) -> tuple[StreamRow, ...]:
    """The rows of every (client, task) that was asked, in the order of names, client tier first.
    A tier that was neither planned nor used has none."""
    planned: defaultdict[tuple[str, str, str], float] = defaultdict(float)
    for route in plan.routes:
        planned[route.client, route.task, route.tier] += route.share
    rows = []
    for client in sorted(set(measurements.client.tolist())):
        of_client = measurements.select(measurements.client == client)
        for task in sorted(set(of_client.task.tolist())):
            asked = of_client.select(of_client.task == task)
            rest = 1.0 - sum(planned[client, task, tier] for tier in TIERS)
            rows += [_row(asked, client, task, t, planned[client, task, t]) for t in TIERS]
            refused = len(asked) - int(asked.answered.sum())
            rows.append(
                StreamRow(client, task, SHED, refused, max(0.0, rest), refused / max(1, len(asked)))
            )
    return tuple(row for row in rows if row.queries or row.planned_share > 5e-4)


def _row(asked: Measurements, client: str, task: str, tier: str, planned: float) -> StreamRow:
    answers = asked.select(asked.answered & (asked.tier == tier))
    count = len(answers)
    share = count / max(1, len(asked))
    if not count:
        return StreamRow(client, task, tier, 0, planned, share)
    spread = float(answers.score.std(ddof=1)) if count > 1 else 0.0
    p50_s, p95_s = np.quantile(answers.latency_s, [0.5, 0.95])
    return StreamRow(
        client, task, tier, count, planned, share,
        accuracy=float(answers.score.mean()), half_width=NORMAL_95 * spread / count**0.5,
        latency_p50_s=float(p50_s), latency_p95_s=float(p95_s),
    )  # fmt: skip
