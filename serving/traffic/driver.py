"""Open-loop load generator: every query leaves when it is due, whatever became of the others.

A closed loop, or a loop that waits for a slot, slows down with the system it measures and so
hides exactly the delays one looks for. Here latency counts from the scheduled time; the time at
which the generator really sent is kept beside it, so its own lateness can be stated.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cluster.errors import InputError
from serving.system import Answer, Outcome, Query, System
from serving.traffic.schedule import Schedule

__all__ = ["SATURATED", "Floor", "NullSystem", "Record", "drive", "measure_floor"]

SATURATED = "generator saturated"
"""Start of the reason of a query that was not sent because too many were still out."""


@dataclass(frozen=True, slots=True)
class Record:
    """One query of the schedule and what became of it; times in seconds from the start."""

    index: int
    """position in the schedule"""
    scheduled_s: float
    sent_s: float
    done_s: float
    answer: Answer
    score: float = 0.0
    """task metric in [0, 1], filled in after the run; 0 for what was not answered"""


class NullSystem:
    """Answers at once with nothing, so that only the generator's own cost is left."""

    async def send(self, query: Query) -> Answer:
        """An empty answer."""
        return Answer(Outcome.ANSWERED)


@dataclass(frozen=True, slots=True)
class Floor:
    """What the generator itself adds, measured against a `NullSystem`."""

    queries: int
    lateness_p50_s: float
    lateness_p99_s: float
    latency_p50_s: float
    latency_p99_s: float


async def drive(
    system: System,
    schedule: Schedule,
    bodies: Sequence[bytes],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    on_progress: Callable[[int, int], None] | None = None,
    max_outstanding: int = 1024,
    drain_s: float = 30.0,
    content_type: str = "image/png",
) -> list[Record]:
    """Send `schedule` to `system` and return one record a query, in schedule order.

    `bodies[i]` is the encoded image i of the schedule. `on_progress(done, total)` is called after
    every query. A query that is due while `max_outstanding` others are unanswered is not sent:
    its record is an error whose reason starts with `SATURATED`. What is still unanswered
    `drain_s` after the last send is cancelled and recorded as an error.

    Raises `ValueError` if the schedule names an image that `bodies` lacks.
    """
    total = len(schedule)
    if total and int(schedule.image_q.max()) >= len(bodies):
        raise ValueError(
            f"the schedule uses image {int(schedule.image_q.max())}, only {len(bodies)} are loaded"
        )
    records: dict[int, Record] = {}
    outstanding: dict[asyncio.Task[None], tuple[int, float]] = {}
    start_s = clock()

    def keep(index: int, sent_s: float, answer: Answer) -> None:
        if index in records:  # given up on before; its answer came after all
            return
        due_s = float(schedule.scheduled_s_q[index])
        records[index] = Record(index, due_s, sent_s, clock() - start_s, answer)
        if on_progress is not None:
            on_progress(len(records), total)

    async def send(index: int, query: Query, sent_s: float) -> None:
        try:
            answer = await system.send(query)
        except Exception as error:  # noqa: BLE001
            # One query's fault must neither end the run nor be lost from the count.
            answer = Answer(Outcome.ERROR, reason=f"{type(error).__name__}: {error}")
        keep(index, sent_s, answer)

    try:
        for index in range(total):
            due_s = float(schedule.scheduled_s_q[index])
            # A sleep may end a clock tick early; a query must never leave before it is due.
            while (wait_s := due_s - (clock() - start_s)) > 0:
                await sleep(wait_s)
            sent_s = clock() - start_s
            if len(outstanding) >= max_outstanding:
                reason = f"{SATURATED}: {max_outstanding} queries unanswered"
                keep(index, sent_s, Answer(Outcome.ERROR, reason=reason))
            else:
                query = Query(
                    client=schedule.clients[schedule.client_q[index]],
                    task=schedule.tasks[schedule.task_q[index]],
                    body=bodies[schedule.image_q[index]],
                    content_type=content_type,
                )
                task = asyncio.create_task(send(index, query, sent_s))
                outstanding[task] = (index, sent_s)
                task.add_done_callback(lambda done: outstanding.pop(done, None))
            # A generator that is late must still let answers in between two sends.
            await sleep(0)
        await _drain(outstanding, drain_s, sleep)
        for index, sent_s in list(outstanding.values()):
            reason = f"no answer within {drain_s:g} s of the end of the traffic"
            keep(index, sent_s, Answer(Outcome.ERROR, reason=reason))
    finally:
        for task in list(outstanding):
            task.cancel()
    return [records[index] for index in range(total)]


async def _drain(
    outstanding: dict[asyncio.Task[None], tuple[int, float]],
    drain_s: float,
    sleep: Callable[[float], Awaitable[None]],
) -> None:
    """Wait until `outstanding` is empty, or `drain_s` of the injected sleep have passed."""
    alarm = asyncio.ensure_future(sleep(drain_s))
    try:
        while outstanding and not alarm.done():
            await asyncio.wait([alarm, *outstanding], return_when=asyncio.FIRST_COMPLETED)
    finally:
        alarm.cancel()


async def measure_floor(
    schedule: Schedule,
    bodies: Sequence[bytes],
    *,
    duration_s: float = 5.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Floor:
    """Drive the first `duration_s` of `schedule` into a `NullSystem`.

    Raises `InputError` if no query is due in that time.
    """
    head = schedule.head(duration_s)
    if not len(head):
        raise InputError(f"no query is due in the first {duration_s:g} s of the schedule")
    records = await drive(NullSystem(), head, bodies, clock=clock, sleep=sleep)
    lateness_s = np.array([record.sent_s - record.scheduled_s for record in records])
    latency_s = np.array([record.done_s - record.scheduled_s for record in records])
    return Floor(
        queries=len(records),
        lateness_p50_s=float(np.quantile(lateness_s, 0.5)),
        lateness_p99_s=float(np.quantile(lateness_s, 0.99)),
        latency_p50_s=float(np.quantile(latency_s, 0.5)),
        latency_p99_s=float(np.quantile(latency_s, 0.99)),
    )
