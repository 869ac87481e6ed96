"""F14: requests for several tasks of one image, from the demand to the records."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import numpy as np
import pytest

from cluster.arrivals import GammaArrivals, MmppArrivals, MmppState
from cluster.demand import BundleLoad, Phase
from cluster.errors import InputError
from cluster.timeline import LoadScale, TimelineEvent
from serving.simulation.virtual_time import run_in_virtual_time
from serving.system import Answer, Outcome, Query
from serving.traffic.driver import Record, drive
from serving.traffic.schedule import Asked, Schedule, build_schedule, with_asked
from serving.traffic.sent import describe_sent

BODIES = [b"zero", b"one", b"two"]
PAIR = BundleLoad(client="c1", tasks=("edges", "depth"), qps=4.0)
RATES = {"c1": {"depth": 3.0}, "c2": {"edges": 2.0}}


def phase(**changes: Any) -> Phase:
    stated: dict[str, Any] = {"duration_s": 60.0, "rates_qps": RATES, "bundles": (PAIR,)}
    return Phase(**{**stated, **changes})


def pairs(schedule: Schedule) -> list[tuple[int, ...]]:
    """The places of requests for two tasks."""
    return [places for places in schedule.requests() if len(places) == 2]


def clock() -> float:
    """Virtual seconds of the running loop."""
    return asyncio.get_running_loop().time()


def run(system: object, schedule: Schedule, **options: object) -> list[Record]:
    return run_in_virtual_time(drive(system, schedule, BODIES, clock=clock, **options))  # type: ignore[arg-type]


class Sharing:
    """Answers at once, and remembers what it was asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, bytes, tuple[str, ...]]] = []

    async def send(self, query: Query) -> Answer:
        return (await self.send_all(query, (query.task,)))[query.task]

    async def send_all(self, query: Query, tasks: tuple[str, ...]) -> dict[str, Answer]:
        self.seen.append((clock(), query.body, tasks))
        await asyncio.sleep(0.1)
        return {task: Answer(Outcome.ANSWERED, node=task) for task in tasks}


def test_the_tasks_of_a_bundle_are_due_together_and_about_one_image() -> None:
    schedule = build_schedule([phase()], 3, len(BODIES))
    assert len(pairs(schedule)) == pytest.approx(4.0 * 60, rel=0.25)
    for places in pairs(schedule):
        assert len({float(schedule.scheduled_s_q[place]) for place in places}) == 1
        assert len({int(schedule.image_q[place]) for place in places}) == 1
        assert [schedule.tasks[schedule.task_q[place]] for place in places] == ["depth", "edges"]
        assert {schedule.clients[schedule.client_q[place]] for place in places} == {"c1"}
    assert schedule.first_q.sum() == len(schedule.requests()) < len(schedule)
    head = schedule.head(10.0)
    assert head.requests() == [p for p in schedule.requests() if max(p) < len(head)]


def test_a_bundle_leaves_all_other_queries_as_they_were() -> None:
    schedule = build_schedule([phase()], 3, len(BODIES))
    plain = build_schedule([phase(bundles=())], 3, len(BODIES))
    assert plain.request_q is None
    alone = [places[0] for places in schedule.requests() if len(places) == 1]
    for name in ("scheduled_s_q", "client_q", "task_q", "image_q"):
        assert np.array_equal(getattr(schedule, name)[alone], getattr(plain, name))
    none = build_schedule([phase(bundles=(PAIR.model_copy(update={"qps": 0.0}),))], 3, 3)
    assert none.request_q is None
    assert np.array_equal(none.scheduled_s_q, plain.scheduled_s_q)


@pytest.mark.parametrize(
    "process",
    [
        GammaArrivals(kind="gamma", cv=3.0),
        MmppArrivals(
            kind="mmpp", hold_mean=True,
            states=(MmppState(factor=0.3, dwell_s=3), MmppState(factor=4, dwell_s=0.8)),
        ),
    ],
)  # fmt: skip
def test_bundles_arrive_as_the_client_asks(process: Any) -> None:
    schedule = build_schedule([phase(duration_s=300.0, arrivals={"c1": process})], 5, 3)
    assert len(pairs(schedule)) == pytest.approx(4.0 * 300, rel=0.2)
    sent = describe_sent(schedule).by_client["c1"]
    assert sent.dispersion_1s is not None
    assert sent.dispersion_1s > 1.5


def test_what_arrives_at_once_is_no_burst() -> None:
    """Two tasks a request, Poisson: counted one by one they would have a dispersion of two."""
    only = phase(duration_s=600.0, rates_qps={"c1": {}}, bundles=(PAIR,))
    schedule = build_schedule([only], 1, 3)
    sent = describe_sent(schedule).by_client["c1"]
    assert sent.queries == len(schedule) == 2 * len(schedule.requests())
    assert sent.dispersion_1s == pytest.approx(1.0, abs=0.2)


def test_a_change_of_a_clients_load_changes_its_bundles() -> None:
    scale = LoadScale(client="c1", factor=3.0)
    timeline = [TimelineEvent(at_s=0.0, scale_load=scale)]
    more = build_schedule([phase()], 3, 3, timeline=timeline)
    assert len(pairs(more)) == pytest.approx(12.0 * 60, rel=0.15)
    assert len(pairs(build_schedule([phase().scaled(0.5)], 3, 3))) == pytest.approx(120, rel=0.3)


def test_images_have_a_label_of_every_task_of_the_bundle() -> None:
    labelled = {"depth": [0, 1, 2], "edges": [1, 2]}
    schedule = build_schedule([phase()], 3, 3, labelled)
    assert {int(schedule.image_q[places[0]]) for places in pairs(schedule)} == {1, 2}
    with pytest.raises(InputError, match="a label of 'edges' and one of 'depth'"):
        build_schedule([phase()], 3, 3, {"depth": [0], "edges": [1]})


def test_what_callers_ask_are_requests_of_their_own() -> None:
    schedule = build_schedule([phase()], 3, 3)
    asked = [Asked(1.0, "c2", "edges", 0, 0), Asked(2.0, "c2", "edges", 1, 0)]
    both, place_q = with_asked(schedule, asked)
    assert len(both.requests()) == len(schedule.requests()) + 2
    assert len(pairs(both)) == len(pairs(schedule))
    assert sorted(place_q.tolist()) == list(range(len(schedule) + 2))


def test_a_bundle_goes_out_as_one_request_and_each_task_is_recorded() -> None:
    schedule = build_schedule([phase(duration_s=10.0)], 3, len(BODIES))
    system = Sharing()
    records = run(system, schedule)
    assert [record.place for record in records] == list(range(len(schedule)))
    assert len(system.seen) == len(schedule.requests())
    for (sent_s, body, tasks), places in zip(system.seen, schedule.requests(), strict=True):
        assert sent_s == pytest.approx(schedule.scheduled_s_q[places[0]], abs=1e-9)
        assert body == BODIES[schedule.image_q[places[0]]]
        assert tasks == tuple(schedule.tasks[schedule.task_q[place]] for place in places)
        for place, task in zip(places, tasks, strict=True):
            assert records[place].answer.node == task
            assert records[place].done_s == pytest.approx(sent_s + 0.1)
    assert Counter(len(tasks) for _, _, tasks in system.seen)[2] == len(pairs(schedule))


def test_a_request_that_fails_is_an_error_of_each_of_its_tasks() -> None:
    class Broken(Sharing):
        async def send_all(self, query: Query, tasks: tuple[str, ...]) -> dict[str, Answer]:
            if len(tasks) > 1:
                raise ConnectionError("refused")
            return await super().send_all(query, tasks)

    schedule = build_schedule([phase(duration_s=10.0)], 3, len(BODIES))
    records = run(Broken(), schedule)
    failed = {r.place for r in records if r.answer.outcome is Outcome.ERROR}
    assert failed == {place for places in pairs(schedule) for place in places}


def test_a_system_that_takes_one_task_a_request_is_refused_before_anything_is_sent() -> None:
    class Single:
        async def send(self, query: Query) -> Answer:
            raise AssertionError("nothing may be sent")

    schedule = build_schedule([phase()], 3, len(BODIES))
    with pytest.raises(ValueError, match="several tasks of one image, the system answers one"):
        run(Single(), schedule)
