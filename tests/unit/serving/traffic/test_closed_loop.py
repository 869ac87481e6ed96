"""Callers who wait: slow answers slow them down, and what they ask does not depend on answers."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from cluster.demand import Phase
from cluster.timeline import TimelineEvent
from serving.simulation.virtual_time import run_in_virtual_time
from serving.system import Answer, Outcome, Query
from serving.traffic.driver import SATURATED, Driven, drive, drive_traffic
from serving.traffic.schedule import Schedule, build_schedule

BODIES = [b"zero", b"one", b"two", b"three"]
RATES = {"c1": {"depth": 3.0, "edges": 1.0}}


def clock() -> float:
    return asyncio.get_running_loop().time()


class Answering:
    """Answers each query after a fixed time."""

    def __init__(self, service_s: float) -> None:
        self.service_s = service_s
        self.out = self.most_out = 0

    async def send(self, query: Query) -> Answer:
        self.out += 1
        self.most_out = max(self.most_out, self.out)
        await asyncio.sleep(self.service_s)
        self.out -= 1
        return Answer(Outcome.ANSWERED, tier="edge")


def schedule(
    callers: int = 5,
    think_s: float = 0.5,
    timeline: tuple[TimelineEvent, ...] = (),
    **phase: Any,
) -> Schedule:
    process = {"kind": "closed_loop", "callers": callers, "think_s": think_s}
    asked = {"duration_s": 200.0, "rates_qps": RATES, "arrivals": process, **phase}
    return build_schedule([Phase.model_validate(asked)], 1, len(BODIES), timeline=timeline)


def run(system: object, of: Schedule, **options: Any) -> Driven:
    return run_in_virtual_time(drive_traffic(system, of, BODIES, clock=clock, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("service_s", [0.0, 0.5, 2.0])
def test_callers_ask_as_often_as_their_thoughts_and_the_answers_allow(service_s: float) -> None:
    system = Answering(service_s)
    driven = run(system, schedule())
    expected = 5 * 200.0 / (0.5 + service_s)
    assert len(driven.records) == pytest.approx(expected, abs=4 * expected**0.5)
    assert system.most_out <= 5
    assert all(record.answer.outcome is Outcome.ANSWERED for record in driven.records)


def test_the_schedule_that_came_about_has_every_query_in_order() -> None:
    driven = run(Answering(0.3), schedule())
    made = driven.schedule
    assert len(made) == len(driven.records) > 500
    assert [record.place for record in driven.records] == list(range(len(made)))
    due_s = [record.scheduled_s for record in driven.records]
    assert due_s == made.scheduled_s_q.tolist() == sorted(due_s)
    assert all(record.sent_s == pytest.approx(record.scheduled_s) for record in driven.records)
    assert max(due_s) < 200.0
    shares = np.bincount(made.task_q) / len(made)
    assert shares == pytest.approx([0.75, 0.25], abs=0.06)
    # Images come in rounds in which each is shown once, by caller and task.
    assert np.bincount(made.image_q) / len(made) == pytest.approx(np.full(4, 0.25), abs=0.02)


def test_what_a_caller_asks_is_the_same_however_slow_the_answers_are() -> None:
    fast, slow = (run(Answering(service_s), schedule(callers=1)) for service_s in (0.1, 3.0))
    asked = [
        list(zip(driven.schedule.task_q.tolist(), driven.schedule.image_q.tolist(), strict=True))
        for driven in (fast, slow)
    ]
    assert len(asked[1]) > 30
    assert asked[0][: len(asked[1])] == asked[1]


def test_waiting_callers_and_an_open_stream_share_a_run() -> None:
    rates = {"c0": {"depth": 10.0}, **RATES}
    process = {"c1": {"kind": "closed_loop", "callers": 3, "think_s": 0.5}}
    both = schedule(rates_qps=rates, arrivals=process)
    plain = build_schedule([Phase(duration_s=200.0, rates_qps={"c0": {"depth": 10.0}})], 1, 4)
    driven = run(Answering(0.4), both)
    of_c0 = driven.schedule.client_q == driven.schedule.clients.index("c0")
    assert np.array_equal(driven.schedule.scheduled_s_q[of_c0], plain.scheduled_s_q)
    assert np.array_equal(driven.schedule.image_q[of_c0], plain.image_q)
    assert np.sum(~of_c0) == pytest.approx(3 * 200 / 0.9, rel=0.1)
    for record in driven.records:
        assert record.scheduled_s == driven.schedule.scheduled_s_q[record.place]


def test_an_event_sends_more_callers_in_and_takes_them_out_again() -> None:
    timeline = tuple(
        TimelineEvent.model_validate({"at_s": at_s, "scale_load": {"client": "c1", "factor": f}})
        for at_s, f in ((50.0, 3.0), (100.0, 0.0), (150.0, 1.0))
    )
    system = Answering(0.5)
    driven = run(system, schedule(timeline=timeline))
    counts = np.histogram(driven.schedule.scheduled_s_q, bins=[0, 50, 100, 105, 150, 200])[0]
    assert counts[[0, 1, 4]] == pytest.approx([250, 750, 250], abs=60)
    # Who thought already when the event came asks once more.
    assert counts[2] <= 15
    assert counts[3] == 0
    assert system.most_out > 5


def test_callers_of_two_phases_come_one_after_the_other() -> None:
    phases = [
        Phase.model_validate(
            {
                "duration_s": 50.0,
                "rates_qps": RATES,
                "arrivals": {"kind": "closed_loop", "callers": callers, "think_s": 0.5},
            }
        )
        for callers in (2, 8)
    ]
    driven = run(Answering(0.0), build_schedule(phases, 1, 4))
    counts = np.bincount(driven.schedule.phase_q)
    assert counts == pytest.approx([200, 800], rel=0.2)
    late = driven.schedule.scheduled_s_q >= 50.0
    assert np.array_equal(late, driven.schedule.phase_q == 1)


def test_a_caller_who_gets_no_answer_is_recorded_and_asks_nothing_more() -> None:
    driven = run(Answering(1e6), schedule(callers=3), drain_s=7.0)
    assert len(driven.records) == 3
    assert {record.answer.outcome for record in driven.records} == {Outcome.ERROR}
    assert "within 7 s" in driven.records[0].answer.reason


def test_a_full_generator_refuses_callers_too_and_they_go_on() -> None:
    driven = run(Answering(2.0), schedule(callers=10), max_outstanding=4)
    refused = [r for r in driven.records if r.answer.reason.startswith(SATURATED)]
    assert 0 < len(refused) < len(driven.records)


def test_traffic_without_callers_is_driven_as_before() -> None:
    plain = build_schedule([Phase(duration_s=20.0, rates_qps=RATES)], 1, 4)
    records = run_in_virtual_time(drive(Answering(0.1), plain, BODIES, clock=clock))
    driven = run(Answering(0.1), plain)
    assert driven.records == records
    assert np.array_equal(driven.schedule.scheduled_s_q, plain.scheduled_s_q)
    with pytest.raises(ValueError, match="callers who wait for answers; use `drive_traffic`"):
        run_in_virtual_time(drive(Answering(0.1), schedule(), BODIES, clock=clock))


def test_a_client_that_asks_nothing_has_no_callers() -> None:
    assert schedule(rates_qps={"c1": {"depth": 0.0}}).callers == ()


def test_images_that_are_not_loaded_are_refused_before_the_run() -> None:
    with pytest.raises(ValueError, match="only 2 are loaded"):
        run_in_virtual_time(drive_traffic(Answering(0.1), schedule(), BODIES[:2], clock=clock))
