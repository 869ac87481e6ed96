"""Loads that are changed while traffic flows: what is sent, and that the rows have just that."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from cluster.demand import Phase
from serving.simulation.virtual_time import run_in_virtual_time
from serving.system import Answer, Outcome, Query
from serving.traffic.driver import Driven, drive_traffic
from serving.traffic.load_switch import LoadSwitch
from serving.traffic.schedule import build_schedule

BODIES = [b"zero", b"one"]


def clock() -> float:
    return asyncio.get_running_loop().time()


class Counting:
    def __init__(self) -> None:
        self.sent: list[tuple[float, str]] = []

    async def send(self, query: Query) -> Answer:
        self.sent.append((clock(), query.client))
        await asyncio.sleep(0.01)
        return Answer(Outcome.ANSWERED, tier="client")


def drive_with(load: LoadSwitch | None, system: Counting, seconds: float = 40.0) -> Driven:
    rates = {"a": {"depth": 10.0}, "b": {"depth": 10.0, "edges": 5.0}}
    schedule = build_schedule([Phase(duration_s=seconds, rates_qps=rates)], 3, len(BODIES))
    return run_in_virtual_time(drive_traffic(system, schedule, BODIES, clock=clock, load=load))


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 2.5])
def test_a_client_asks_so_many_times_what_is_scheduled_and_the_others_what_they_did(
    factor: float,
) -> None:
    plain, scaled = Counting(), Counting()
    drive_with(None, plain)
    load = LoadSwitch(("a", "b"))
    load.scale("a", factor)
    driven = drive_with(load, scaled)
    of_a, of_b = (
        tuple(sum(name == client for _, name in system.sent) for system in (plain, scaled))
        for client in ("a", "b")
    )
    assert of_a[1] == pytest.approx(factor * of_a[0], abs=4 * (factor + 1) * of_a[0] ** 0.5)
    assert of_b[0] == of_b[1]
    assert len(driven.records) == len(driven.schedule) == len(scaled.sent)
    assert [record.place for record in driven.records] == list(range(len(driven.schedule)))
    assert np.all(np.diff(driven.schedule.scheduled_s_q) >= 0)


def test_a_factor_of_one_changes_nothing() -> None:
    plain, switched = Counting(), Counting()
    first, second = drive_with(None, plain), drive_with(LoadSwitch(("a", "b")), switched)
    assert np.array_equal(first.schedule.scheduled_s_q, second.schedule.scheduled_s_q)
    assert plain.sent == switched.sent


def test_a_client_without_traffic_is_refused() -> None:
    load = LoadSwitch(("a",))
    with pytest.raises(KeyError):
        load.scale("c", 2.0)
    assert load.factors == {"a": 1.0}
