"""The load generator: queries leave when they are due, and none is lost from the count."""

from __future__ import annotations

import asyncio

import pytest

from cluster.demand import Phase
from generator_floor import NullSystem, measure_floor
from serving.simulation.virtual_time import run_in_virtual_time
from serving.system import Answer, Outcome, Query
from serving.traffic.driver import SATURATED, Record, drive
from serving.traffic.schedule import Schedule, build_schedule

BODIES = [b"zero", b"one", b"two"]


def schedule_of(rate_qps: float, duration_s: float = 10.0) -> Schedule:
    phase = Phase(duration_s=duration_s, rates_qps={"c1": {"depth": rate_qps}})
    return build_schedule([phase], 1, len(BODIES))


def clock() -> float:
    """Virtual seconds of the running loop."""
    return asyncio.get_running_loop().time()


class SlowSystem:
    """Answers after a fixed time, one query after another or all at once."""

    def __init__(self, service_s: float, serial: bool = False) -> None:
        self.service_s = service_s
        self.lock = asyncio.Lock() if serial else None
        self.seen: list[tuple[float, Query]] = []

    async def send(self, query: Query) -> Answer:
        self.seen.append((clock(), query))
        if self.lock is None:
            await asyncio.sleep(self.service_s)
        else:
            async with self.lock:
                await asyncio.sleep(self.service_s)
        return Answer(Outcome.ANSWERED, tier="edge")


def run(system: object, schedule: Schedule, **options: object) -> list[Record]:
    return run_in_virtual_time(drive(system, schedule, BODIES, clock=clock, **options))  # type: ignore[arg-type]


def test_every_query_leaves_when_due_however_slow_the_system() -> None:
    schedule = schedule_of(20.0)
    system = SlowSystem(0.5, serial=True)
    records = run(system, schedule, drain_s=1000.0)
    assert [record.place for record in records] == list(range(len(schedule)))
    for record, (sent_s, query), due_s in zip(
        records, system.seen, schedule.scheduled_s_q, strict=True
    ):
        assert record.scheduled_s == due_s
        assert record.sent_s == pytest.approx(due_s, abs=1e-9)
        assert sent_s == pytest.approx(due_s, abs=1e-9)
        assert query.body == BODIES[schedule.image_q[record.place]]
    # A server of 2 queries/s under 20 queries/s: a closed loop would report 0.5 s for all.
    assert records[-1].done_s - records[-1].scheduled_s == pytest.approx(
        len(schedule) * 0.5 - 10.0, rel=0.1
    )


def test_latency_counts_from_the_scheduled_time_when_the_generator_is_late() -> None:
    schedule = schedule_of(5.0)
    first_s = float(schedule.scheduled_s_q[0])

    def stalled_clock() -> float:
        """Two seconds pass in which the generator does nothing when its first query is due."""
        return clock() + (2.0 if clock() >= first_s else 0.0)

    records = run_in_virtual_time(drive(SlowSystem(0.1), schedule, BODIES, clock=stalled_clock))
    first = records[0]
    assert first.sent_s - first.scheduled_s == pytest.approx(2.0)
    assert first.done_s - first.scheduled_s == pytest.approx(2.1)


def test_a_full_generator_says_so_and_loses_no_query() -> None:
    schedule = schedule_of(20.0)
    records = run(SlowSystem(5.0), schedule, max_outstanding=10)
    refused = [r for r in records if r.answer.reason.startswith(SATURATED)]
    assert len(records) == len(schedule)
    assert refused
    assert all(r.answer.outcome is Outcome.ERROR for r in refused)
    assert "10 queries" in refused[0].answer.reason
    assert sum(r.answer.outcome is Outcome.ANSWERED for r in records) == len(records) - len(refused)


def test_a_query_that_is_never_answered_becomes_an_error() -> None:
    schedule = schedule_of(2.0)
    records = run(SlowSystem(1e6), schedule, drain_s=7.0)
    assert {record.answer.outcome for record in records} == {Outcome.ERROR}
    assert "within 7 s" in records[0].answer.reason
    assert records[0].done_s == pytest.approx(schedule.scheduled_s_q[-1] + 7.0)


def test_a_system_that_raises_is_recorded_and_does_not_end_the_run() -> None:
    class Broken:
        async def send(self, query: Query) -> Answer:
            raise ConnectionError("refused")

    records = run(Broken(), schedule_of(5.0))
    assert {record.answer.reason for record in records} == {"ConnectionError: refused"}


def test_progress_reaches_the_total() -> None:
    schedule, seen = schedule_of(5.0), []
    run(SlowSystem(0.1), schedule, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(k + 1, len(schedule)) for k in range(len(schedule))]


def test_a_cancelled_run_cancels_what_is_out() -> None:
    cancelled = []

    class Waiting:
        async def send(self, query: Query) -> Answer:
            try:
                await asyncio.sleep(1e6)
            except asyncio.CancelledError:
                cancelled.append(query)
                raise
            return Answer(Outcome.ANSWERED)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(drive(Waiting(), schedule_of(5.0), BODIES, clock=clock), 5.0)
        await asyncio.sleep(0)

    run_in_virtual_time(main())
    assert cancelled


def test_missing_images_are_refused_before_the_run() -> None:
    with pytest.raises(ValueError, match="only 1 are loaded"):
        run_in_virtual_time(drive(NullSystem(), schedule_of(5.0), BODIES[:1], clock=clock))


def test_an_empty_schedule_is_an_empty_run() -> None:
    assert run(NullSystem(), schedule_of(0.0)) == []


def test_the_floor_of_the_generator_is_zero_on_a_virtual_clock() -> None:
    floor = run_in_virtual_time(
        measure_floor(schedule_of(20.0), BODIES, duration_s=3.0, clock=clock)
    )
    assert floor.queries == len(schedule_of(20.0).head(3.0))
    assert floor.lateness_p99_s == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(ValueError, match="no query is due"):
        run_in_virtual_time(measure_floor(schedule_of(0.0), BODIES, clock=clock))
