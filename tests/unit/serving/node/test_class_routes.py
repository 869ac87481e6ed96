"""A deadline class (F20) at real nodes: routes and a deadline of its own, and its task's models."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from serving.errors import NotServedError, RefusalReason, RefusedError
from serving.routing.routes import RouteTable, Target
from support.node_fakes import hierarchy, image, models, put_in_force

pytestmark = pytest.mark.real_time

HOME, EDGE = Target("client", "client", "one"), Target("edge", "edge", "two")
CLOUD = Target("cloud", "cloud", "three")
ROUTES = {
    "depth": ((EDGE, 1.0),), "depth@fast": ((HOME, 1.0),), "edges@far": ((CLOUD, 1.0),),
}  # fmt: skip


TABLE = RouteTable(2, ROUTES, deadlines_s={"depth@fast": 5.0, "edges@far": 5.0})


def test_a_class_takes_its_own_ways_and_is_answered_and_counted_by_its_name() -> None:
    async def scenario() -> tuple[dict[str, float], Mapping[str, int]]:
        async with hierarchy(models()) as (client, servers):
            await put_in_force(servers)
            client.route(TABLE)
            values = {}
            for task in ROUTES:
                served = (await client.answer(task, image(1))).forwarded.served
                values[task] = float(served.prediction.flat[0])
            together = await client.answer_all(("depth@fast", "edges@far"), image(1))
            assert set(together) == {"depth@fast", "edges@far"}
            return values, client.snapshot().arrived

    values, arrived = asyncio.run(scenario())
    assert values == {"depth": 3.0, "depth@fast": 2.0, "edges@far": 4.0}  # 1 + the model's number
    assert arrived == {"depth": 1, "depth@fast": 2, "edges@far": 2}


def test_two_classes_of_a_task_share_one_pass() -> None:
    async def scenario() -> tuple[set[str], list[int]]:
        runtimes = models()
        async with hierarchy(runtimes) as (client, servers):
            await put_in_force(servers)
            client.route(RouteTable(2, {"depth": ((HOME, 1.0),), "depth@fast": ((HOME, 1.0),)}))
            answers = await client.answer_all(("depth", "depth@fast"), image(1))
            return set(answers), runtimes["one"].batches

    assert asyncio.run(scenario()) == ({"depth", "depth@fast"}, [1])


def test_the_deadline_of_a_class_goes_with_its_queries() -> None:
    async def scenario() -> tuple[str, bool]:
        runtimes = models()
        async with hierarchy(runtimes) as (client, servers):
            await put_in_force(servers)
            client.route(
                RouteTable(
                    2,
                    {"depth": ((EDGE, 1.0),), "depth@slow": ((EDGE, 1.0),)},
                    deadlines_s={"depth@slow": 0.2},
                )
            )
            runtimes["two"].gate.clear()
            patient = asyncio.ensure_future(client.answer("depth", image(1)))
            with pytest.raises(RefusedError) as refused:
                await client.answer("depth@slow", image(1))
            waits = not patient.done()
            runtimes["two"].gate.set()
            await patient
            return refused.value.reason, waits

    assert asyncio.run(scenario()) == ("deadline", True)


def test_after_a_fault_a_class_takes_ways_of_its_table_only() -> None:
    """Without the edge `depth` finds the model at home; its class has no other way in time."""

    async def scenario() -> tuple[str, str, str]:
        async with hierarchy(models()) as (client, servers):
            await put_in_force(servers)
            ways = {"depth": ((EDGE, 1.0),), "depth@slow": ((EDGE, 1.0),)}
            client.route(RouteTable(2, ways, deadlines_s={"depth@slow": 5.0}))
            await client.answer("depth@slow", image(1))
            servers.kill("edge")
            detour = await client.answer("depth", image(1))
            with pytest.raises(RefusedError) as refused:
                await client.answer("depth@slow", image(1))
            client.route(
                RouteTable(3, ways, {"depth@slow": (HOME,)}, deadlines_s={"depth@slow": 5.0})
            )
            other = await client.answer("depth@slow", image(1))
            return detour.target.node, refused.value.reason, other.target.node

    here, reason, there = asyncio.run(scenario())
    assert (here, there) == ("client", "client")
    assert reason in {"peer_lost", "peer_unreachable"}


def test_what_home_cannot_answer_in_time_spills_over_to_a_way_that_can() -> None:
    async def scenario() -> tuple[str, str | None, Mapping[RefusalReason, int]]:
        async with hierarchy(models()) as (client, servers):
            await put_in_force(servers)
            ways = {"depth@fast": ((HOME, 1.0),)}
            refuges = {"depth@fast": (HOME, EDGE)}
            client.route(RouteTable(2, ways, refuges, deadlines_s={"depth@fast": 0.15}))
            for size in (1, 8, 16) * 20:  # its rehearsals took no time, and fade
                client._executor._batcher.latency_model.learn("one", size, 0.3)
            routed = await client.answer("depth@fast", image(1))
            client.route(RouteTable(3, ways, deadlines_s={"depth@fast": 0.15}))
            with pytest.raises(RefusedError):
                await client.answer("depth@fast", image(1))
            return routed.target.node, routed.spilled, client.snapshot().refused

    late = RefusalReason.DEADLINE
    assert asyncio.run(scenario()) == ("edge", late, {late: 1})


def test_a_class_that_the_table_does_not_route_is_not_served() -> None:
    async def scenario() -> str:
        async with hierarchy(models()) as (client, servers):
            await put_in_force(servers)
            with pytest.raises(NotServedError) as refused:
                await client.answer("depth@fast", image(1))
            return str(refused.value)

    assert "no onloaded model serves task 'depth@fast'" in asyncio.run(scenario())
