"""The simulator: exact on small cases, and the paper's promise under Poisson traffic."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from cluster.demand import Phase
from cluster.topology import Topology
from planner.plan import Plan, Route
from serving.simulator import SimulatedSystem
from serving.system import Outcome, Query
from serving.traffic.driver import drive
from serving.traffic.schedule import build_schedule
from serving.virtual_time import VirtualTimeLoop, run_in_virtual_time

QUERY_BYTES = 1_000.0


def topology(batching: str = "window", window_s: float = 1.0) -> Topology:
    def node(name: str, tier: str, **more):
        return {"name": name, "tier": tier, "memory": "1GiB", "compute": 1, **more}

    return Topology.parse(
        {
            "name": "t",
            "nodes": [
                node("c", "client", window_s=0.5),
                node("e", "edge", window_s=window_s, batching=batching),
                node("o", "cloud", window_s=0.5),
            ],
            "links": [
                {"source": "c", "target": "e", "bandwidth": 100_000, "rtt_s": 0.02},
                {"source": "e", "target": "o", "bandwidth": 100_000, "rtt_s": 0.10},
            ],
        }
    )


def system(where: Topology, node: str, tier: str, latency=lambda batch: 0.1 + 0.01 * batch):
    plan = Plan(
        problem_digest="d",
        policy="p",
        onloading={node: ("m",)},
        routes=(Route(client="c", task="depth", tier=tier, node=node, model="m", share=1.0),),
    )
    return SimulatedSystem(where, plan, lambda n, m, batch: latency(batch), {"depth": QUERY_BYTES})


def test_time_jumps_from_timer_to_timer() -> None:
    async def an_hour():
        loop = asyncio.get_running_loop()
        await asyncio.gather(asyncio.sleep(3_600), asyncio.sleep(1_800))
        return loop.time()

    assert run_in_virtual_time(an_hour()) == pytest.approx(3_600)


def test_a_program_that_waits_for_nothing_is_told_so() -> None:
    async def forever():
        await asyncio.Event().wait()

    loop = VirtualTimeLoop()
    with pytest.raises(RuntimeError, match="simulated time stands still"):
        loop.run_until_complete(forever())
    loop.close()


def test_a_window_is_one_batch_and_every_second_is_accounted_for() -> None:
    async def scenario():
        loop = asyncio.get_running_loop()
        simulated = system(topology(), "e", "edge")

        async def one(at_s):
            await asyncio.sleep(at_s)
            answer = await simulated.send(Query("c", "depth", b""))
            return answer, loop.time() - at_s

        return await asyncio.gather(one(0.2), one(0.7)), simulated.batches("e")

    (first, second), batches = run_in_virtual_time(scenario())
    (batch,) = batches
    assert (batch.size, batch.closed_s, batch.started_s) == (2, 1.0, 1.0)
    assert batch.spent_s == pytest.approx(0.12)
    for (answer, latency_s), at_s in ((first, 0.2), (second, 0.7)):
        assert latency_s == pytest.approx(1.0 + 0.12 + 0.01 - at_s)
        timing = answer.timing
        assert timing.link_s == pytest.approx(0.01 + 0.02)
        assert timing.queue_s == pytest.approx(1.0 - at_s - 0.02)
        assert timing.compute_s == pytest.approx(0.12)
        assert answer.bound_s == pytest.approx(2.0 + 0.01 + 0.02)


def test_the_cloud_is_two_links_away() -> None:
    async def scenario():
        loop = asyncio.get_running_loop()
        answer = await system(topology(), "o", "cloud").send(Query("c", "depth", b""))
        return answer, loop.time()

    answer, spent_s = run_in_virtual_time(scenario())
    assert answer.timing.link_s == pytest.approx(0.01 + 0.02 + 0.01 + 0.10)
    assert spent_s == pytest.approx(0.14 + 0.11)


def test_a_link_or_a_device_that_is_too_small_refuses() -> None:
    async def scenario(simulated):
        return await asyncio.gather(*(simulated.send(Query("c", "depth", b"")) for _ in range(200)))

    answers = run_in_virtual_time(scenario(system(topology(), "e", "edge")))
    refused = [answer.reason for answer in answers if answer.outcome is Outcome.SHED]
    assert set(refused) == {"link_full"}
    assert 40 <= 200 - len(refused) <= 60


@pytest.mark.parametrize(("batching", "within"), [("window", 0.99), ("greedy", 0.99)])
def test_two_windows_are_kept_at_a_load_with_headroom(batching, within) -> None:
    where = topology(batching, window_s=0.2)

    def latency(batch: int) -> float:
        return 0.02 + 0.004 * batch

    schedule = build_schedule(
        [Phase(duration_s=300.0, rates_qps={"c": {"depth": 20.0}})], seed=5, image_count=1
    )

    async def scenario():
        loop = asyncio.get_running_loop()
        simulated = system(where, "e", "edge", latency)
        return await drive(simulated, schedule, [b""], clock=loop.time, sleep=asyncio.sleep)

    records = run_in_virtual_time(scenario())
    latency_s = np.array([record.done_s - record.scheduled_s for record in records])
    bound_s = np.array([record.answer.bound_s for record in records])
    assert {record.answer.outcome for record in records} == {Outcome.ANSWERED}
    assert np.mean(latency_s <= bound_s) >= within
