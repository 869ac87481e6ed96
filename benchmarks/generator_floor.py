"""What the load generator itself takes of a query: traffic to a system that answers at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cluster.errors import InputError
from serving.system import Answer, Outcome, Query
from serving.traffic.driver import drive
from serving.traffic.schedule import Schedule

__all__ = ["Floor", "NullSystem", "measure_floor"]


class NullSystem:
    """Answers at once with nothing, so that only the generator's own cost is left."""

    async def send(self, query: Query) -> Answer:
        """An empty answer."""
        return Answer(Outcome.ANSWERED)

    async def send_all(self, query: Query, tasks: tuple[str, ...]) -> dict[str, Answer]:
        """The same for each task."""
        return dict.fromkeys(tasks, Answer(Outcome.ANSWERED))


@dataclass(frozen=True, slots=True)
class Floor:
    """What the generator itself adds, measured against a `NullSystem`."""

    queries: int
    lateness_p50_s: float
    lateness_p99_s: float
    latency_p50_s: float
    latency_p99_s: float


async def measure_floor(
    schedule: Schedule,
    bodies: Sequence[bytes],
    *,
    duration_s: float = 5.0,
    clock: Callable[[], float] = time.monotonic,
) -> Floor:
    """Drive the first `duration_s` of `schedule` into a `NullSystem`.

    Raises `InputError` if no query is due in that time.
    """
    head = schedule.head(duration_s)
    if not len(head):
        raise InputError(f"no query is due in the first {duration_s:g} s of the schedule")
    records = await drive(NullSystem(), head, bodies, clock=clock)
    lateness_s = np.array([record.sent_s - record.scheduled_s for record in records])
    latency_s = np.array([record.done_s - record.scheduled_s for record in records])
    return Floor(
        queries=len(records),
        lateness_p50_s=float(np.quantile(lateness_s, 0.5)),
        lateness_p99_s=float(np.quantile(lateness_s, 0.99)),
        latency_p50_s=float(np.quantile(latency_s, 0.5)),
        latency_p99_s=float(np.quantile(latency_s, 0.99)),
    )
