"""Load generator: every query leaves when it is due, whatever became of the others.

A loop that waits for answers, or for a slot, slows down with the system it measures and so hides
exactly the delays one looks for. So the queries of a schedule wait for nothing (open loop). Only
callers that the demand states as such wait for their answers (`closed_loop`); theirs is the
question how many queries such callers get through, not how long a query takes at a given load.

Latency counts from the scheduled time; the time at which the generator really sent is kept beside
it, so its own lateness can be stated.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from serving.named_tuples import made
from serving.system import Answer, Outcome, Query, SharingSystem, System
from serving.traffic.closed_loop import Caller
from serving.traffic.load_switch import LoadSwitch
from serving.traffic.schedule import Asked, Schedule, with_asked

__all__ = ["SATURATED", "Driven", "Record", "drive", "drive_traffic"]

TICK_S = 1e-9
"""A wait is never shorter: one that a clock cannot tell from none would never end."""
PART = 4096
"""queries of a schedule that are made Python's at a time"""
SATURATED = "generator saturated"
"""Start of the reason of a query that was not sent because too many were still out."""


class Record(NamedTuple):
    """One query of the schedule and what became of it; times in seconds from the start."""

    place: int
    """position in the schedule"""
    scheduled_s: float
    sent_s: float
    done_s: float
    answer: Answer
    score: float = 0.0
    """task metric in [0, 1], filled in after the run; 0 for what was not answered"""


@dataclass(frozen=True, slots=True)
class Driven:
    """What was sent, and what became of it."""

    schedule: Schedule
    """the one that was driven, and in it what callers asked who wait for their answers"""
    records: list[Record]
    """one a query, in the order of `schedule`"""


async def drive(
    system: System,
    schedule: Schedule,
    bodies: Sequence[bytes],
    *,
    clock: Callable[[], float] = time.monotonic,
    on_progress: Callable[[int, int], None] | None = None,
    max_outstanding: int = 1024,
    drain_s: float = 30.0,
    content_type: str = "image/png",
) -> list[Record]:
    """The records of `drive_traffic`, for a schedule of queries that wait for nothing.

    Raises `ValueError` for one with callers: their queries are not in the schedule it has.
    """
    if schedule.callers:
        raise ValueError("the schedule has callers who wait for answers; use `drive_traffic`")
    driven = await drive_traffic(
        system, schedule, bodies, clock=clock, on_progress=on_progress,
        max_outstanding=max_outstanding, drain_s=drain_s, content_type=content_type,
    )  # fmt: skip
    return driven.records


async def drive_traffic(
    system: System,
    schedule: Schedule,
    bodies: Sequence[bytes],
    *,
    clock: Callable[[], float] = time.monotonic,
    on_progress: Callable[[int, int], None] | None = None,
    max_outstanding: int = 1024,
    drain_s: float = 30.0,
    content_type: str = "image/png",
    load: LoadSwitch | None = None,
) -> Driven:
    """Send `schedule` to `system`, and what its callers ask meanwhile. By `load`, if given, queries
    of the schedule are left out or sent several times.

    `bodies[i]` is the encoded image i of the schedule. `on_progress(done, total)` is called after
    every query; what callers ask counts from when they ask. A query that is due while
    `max_outstanding` others are unanswered is not sent: its record is an error whose reason starts
    with `SATURATED`. What is still unanswered `drain_s` after the last send is cancelled and
    recorded as an error.

    Raises `ValueError` if the schedule names an image that `bodies` lacks, or has requests for
    several tasks (F14) and `system` takes none.
    """
    if schedule.request_q is not None and not isinstance(system, SharingSystem):
        raise ValueError("the schedule asks several tasks of one image, the system answers one")
    if schedule.last_image >= len(bodies):
        raise ValueError(
            f"the schedule uses image {schedule.last_image}, only {len(bodies)} are loaded"
        )
    generator = _Generator(
        system, schedule, bodies, clock, on_progress, max_outstanding, content_type, load
    )
    try:
        await generator.run(drain_s)
    finally:
        generator.cancel()
    return generator.driven()


class _OneByOne:
    """`send_all` of a system that answers one task of an image."""

    def __init__(self, system: System) -> None:
        self._system = system

    async def send_all(self, query: Query, tasks: tuple[str, ...]) -> dict[str, Answer]:
        """The answer to the only one of `tasks`."""
        return {tasks[0]: await self._system.send(query)}


_Request = tuple[tuple[int, ...], float, str, tuple[str, ...], int]
"""the places of its queries, when it is due, client, tasks and image"""
_Sent = tuple[asyncio.Task[None], float, float]
"""a request that is out: its task, when it was due, and when it was sent"""


class _Generator:
    """One run. A query is known by its place: first those of the schedule, then what was asked."""

    def __init__(
        self,
        system: System,
        schedule: Schedule,
        bodies: Sequence[bytes],
        clock: Callable[[], float],
        on_progress: Callable[[int, int], None] | None,
        max_outstanding: int,
        content_type: str,
        load: LoadSwitch | None = None,
    ) -> None:
        self._load = load
        self._left_out: set[int] = set()
        """places that the load left out"""
        sharing = system if isinstance(system, SharingSystem) else _OneByOne(system)
        self._send_all = sharing.send_all
        self._schedule = schedule
        self._bodies = bodies
        self._clock = clock
        self._on_progress = on_progress
        self._max_outstanding = max_outstanding
        self._content_type = content_type
        self._asked: list[Asked] = []
        self._records: dict[int, Record] = {}
        self._outstanding: dict[tuple[int, ...], _Sent] = {}
        """by the places of a request's queries"""
        self._callers: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._to_send = self._scheduled()
        self._next: _Request | None = next(self._to_send, None)
        self._all_sent: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        """for the next request of the schedule"""
        self._start_s = clock()

    async def run(self, drain_s: float) -> None:
        """Send everything, and wait until it is answered or `drain_s` have passed."""
        for group in self._schedule.callers:
            for caller in group.callers:
                self._callers.add(asyncio.create_task(self._call(caller)))
        self._set_timer()
        await self._all_sent
        if self._schedule.callers:
            await self._wait_until(max(group.end_s for group in self._schedule.callers))
        await self._drain(drain_s)
        for places, (_, due_s, sent_s) in list(self._outstanding.items()):
            reason = f"no answer within {drain_s:g} s of the end of the traffic"
            self._keep_failed(places, due_s, sent_s, reason)

    def cancel(self) -> None:
        """End whatever still runs."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._waiting():
            task.cancel()

    def _set_timer(self) -> None:
        """For the next request. One that is late is sent in the loop's next turn: answers must be
        let in between two."""
        if self._next is None:
            self._all_sent.set_result(None)
            return
        wait_s = self._next[1] - self._now_s()
        self._timer = self._loop.call_later(
            max(wait_s, TICK_S) if wait_s > 0 else 0.0, self._send_next
        )

    def _send_next(self) -> None:
        """Send the next request, if it is due: a timer may end a clock tick early."""
        assert self._next is not None
        try:
            places, due_s, client, tasks, image = self._next
            if self._now_s() >= due_s:
                times = 1 if self._load is None else self._load.times(client)
                if times:
                    self._send(places, due_s, client, tasks, image)
                else:
                    self._left_out.update(places)
                for _ in range(times - 1):
                    self._ask_more(places[0], due_s, client, tasks, image)
                self._next = next(self._to_send, None)
            self._set_timer()
        except BaseException as fault:  # noqa: BLE001 - it is raised in `run`
            self._all_sent.set_exception(fault)

    def driven(self) -> Driven:
        """The queries that were sent, in order, with their records."""
        schedule, place_q = with_asked(self._schedule, self._asked, self._left_out)
        records = [self._records[place] for place in place_q.tolist()]
        if self._asked or self._left_out:
            records = [record._replace(place=place) for place, record in enumerate(records)]
        return Driven(schedule, records)

    async def _call(self, caller: Caller) -> None:
        """Ask one question after another until the caller's phase ends."""
        group = caller.group
        await self._wait_until(group.start_s)
        now_s = group.start_s
        while (due_s := caller.next_s(now_s)) is not None:
            await self._wait_until(due_s)
            question = caller.question(due_s)
            task = self._ask(Asked(due_s, group.client, question.task, question.image, group.phase))
            if task is not None:
                await asyncio.wait([task])
            now_s = self._now_s()

    def _ask(self, asked: Asked) -> asyncio.Task[None] | None:
        """Send a query that the schedule does not have."""
        place = len(self._schedule) + len(self._asked)
        self._asked.append(asked)
        return self._send((place,), asked.at_s, asked.client, (asked.task,), asked.image)

    def _ask_more(
        self, place: int, due_s: float, client: str, tasks: tuple[str, ...], image: int
    ) -> None:
        """Send what is due once more, a little later; tasks of one image alone."""
        assert self._load is not None
        later_s, phase = due_s + self._load.later_s(), int(self._schedule.phase_q[place])

        async def ask() -> None:
            await self._wait_until(later_s)
            for task in tasks:
                self._ask(Asked(later_s, client, task, image, phase))

        self._callers.add(asyncio.create_task(ask()))

    def _scheduled(self) -> Iterator[_Request]:
        """Each request of the schedule."""
        schedule, tasks = self._schedule, self._schedule.tasks
        if schedule.request_q is None:
            alone = [(task,) for task in tasks]
            for begin in range(0, len(schedule), PART):
                part = slice(begin, begin + PART)
                columns = (
                    schedule.scheduled_s_q, schedule.client_q, schedule.task_q, schedule.image_q,
                )  # fmt: skip
                rows = zip(*(column[part].tolist() for column in columns), strict=True)
                for place, (due_s, client, task, image) in enumerate(rows, begin):
                    yield (place,), due_s, schedule.clients[client], alone[task], image
            return
        for places in schedule.requests():
            first = places[0]
            yield (
                places,
                float(schedule.scheduled_s_q[first]),
                schedule.clients[schedule.client_q[first]],
                tuple(tasks[schedule.task_q[place]] for place in places),
                int(schedule.image_q[first]),
            )

    def _send(
        self, places: tuple[int, ...], due_s: float, client: str, tasks: tuple[str, ...], image: int
    ) -> asyncio.Task[None] | None:
        """Send one request; None if too many are out."""
        sent_s = self._clock() - self._start_s
        if len(self._outstanding) >= self._max_outstanding:
            reason = f"{SATURATED}: {self._max_outstanding} queries unanswered"
            self._keep_failed(places, due_s, sent_s, reason)
            return None
        query = made(Query, (client, tasks[0], self._bodies[image], self._content_type, None))
        sending = self._loop.create_task(self._answer(places, due_s, sent_s, query, tasks))
        self._outstanding[places] = (sending, due_s, sent_s)
        return sending

    async def _answer(
        self, places: tuple[int, ...], due_s: float, sent_s: float, query: Query,
        tasks: tuple[str, ...],
    ) -> None:  # fmt: skip
        try:
            answers = await self._send_all(query, tasks)
            for place, task in zip(places, tasks, strict=True):
                self._keep(place, due_s, sent_s, answers[task])
        except Exception as error:  # noqa: BLE001
            # One request's fault must neither end the run nor be lost from the count.
            self._keep_failed(places, due_s, sent_s, f"{type(error).__name__}: {error}")
        finally:
            self._outstanding.pop(places, None)

    def _keep_failed(
        self, places: tuple[int, ...], due_s: float, sent_s: float, reason: str
    ) -> None:
        for place in places:
            self._keep(place, due_s, sent_s, Answer(Outcome.ERROR, reason=reason))

    def _keep(self, place: int, due_s: float, sent_s: float, answer: Answer) -> None:
        if place in self._records:  # given up on before; its answer came after all
            return
        self._records[place] = made(
            Record, (place, due_s, sent_s, self._clock() - self._start_s, answer, 0.0)
        )
        if self._on_progress is not None:
            self._on_progress(len(self._records), len(self._schedule) + len(self._asked))

    async def _wait_until(self, due_s: float) -> None:
        # A sleep may end a clock tick early, too.
        while (wait_s := due_s - self._now_s()) > 0:
            await asyncio.sleep(max(wait_s, TICK_S))

    async def _drain(self, drain_s: float) -> None:
        """Wait until nothing is out, or `drain_s` have passed."""
        alarm = asyncio.ensure_future(asyncio.sleep(drain_s))
        try:
            while (waiting := self._waiting()) and not alarm.done():
                await asyncio.wait([alarm, *waiting], return_when=asyncio.FIRST_COMPLETED)
        finally:
            alarm.cancel()

    def _waiting(self) -> set[asyncio.Task[None]]:
        sending = {sending for sending, _, _ in self._outstanding.values()}
        return sending | {task for task in self._callers if not task.done()}

    def _now_s(self) -> float:
        return self._clock() - self._start_s
