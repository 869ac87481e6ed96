"""Failure drills on nodes over loopback: every query ends, as an answer or a refusal, and nodes
that come back are used again. The same with processes killed under Ray:
`tests/e2e/test_faults_live.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgpack
import numpy as np
import pytest

from serving.errors import RefusalReason, RefusedError
from serving.node.links.link_capacity import SteadyCapacity
from serving.node.links.pacer import LinkPacer
from serving.node.links.peer_connection import PeerConnection, UplinkTimeouts
from serving.node.links.uplink import Uplink
from serving.node.server import NodeServer
from serving.node.snapshot import NodeSnapshot
from serving.routing.routes import Ask, RouteTable, Target
from support.node_fakes import (
    ONLY_EDGE,
    TASKS,
    Routes,
    Servers,
    hierarchy,
    image,
    models,
    put_in_force,
)

pytestmark = pytest.mark.real_time

HASTY = UplinkTimeouts(
    answer_s=1.0, silence_s=0.3, beat_s=0.05, connecting_s=0.3, queue_s=0.2, again_s=0.05
)
T = TypeVar("T")
Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ONLY_CLOUD = {"depth": ((Target("cloud", "cloud", "three"), 1.0),)}


async def traffic(client: NodeServer, count: int, gap_s: float = 0.005) -> Counter[str]:
    """What became of `count` queries that leave `gap_s` apart: the node, or why it was refused."""

    async def one() -> str:
        try:
            return (await client.answer("depth", image(1))).target.node
        except RefusedError as refusal:
            return refusal.reason

    calls = []
    for _ in range(count):
        calls.append(asyncio.ensure_future(one()))
        await asyncio.sleep(gap_s)
    async with asyncio.timeout(10):
        return Counter(await asyncio.gather(*calls))


def run_drill(scenario: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run it; an exception that nobody took, or a task left over, fails it."""
    unhandled: list[dict[str, Any]] = []

    async def watched() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: unhandled.append(what))
        result = await asyncio.wait_for(scenario(), 30)
        await asyncio.sleep(0.05)
        return result

    result = asyncio.run(watched())
    assert unhandled == []
    return result


@pytest.mark.parametrize(
    ("victim", "routes", "stand_in"),
    [("edge", ONLY_EDGE, "client"), ("cloud", ONLY_CLOUD, "edge")],
)
def test_a_killed_node_costs_no_query_and_rejoins(
    victim: str, routes: Routes, stand_in: str
) -> None:
    async def drill() -> tuple[Counter[str], Counter[str], Mapping[RefusalReason, int]]:
        runtimes = models()
        for runtime in runtimes.values():
            runtime.batch_s = 0.01
        async with hierarchy(runtimes, timeouts=HASTY) as (client, servers):
            await put_in_force(servers, routes=routes)
            under_fire = asyncio.ensure_future(traffic(client, 120))
            await asyncio.sleep(0.2)
            servers.kill(victim)
            during = await under_fire
            await servers.start(victim)
            await servers[victim].load(("two" if victim == "edge" else "three",))
            await asyncio.sleep(2 * HASTY.again_s)
            return during, await traffic(client, 20), client.snapshot().refused

    during, after, refused = run_drill(drill)
    assert sum(during.values()) == 120
    assert set(during) == {victim, stand_in}
    assert after == {victim: 20}
    assert refused == {}


async def _read_frame(reader: asyncio.StreamReader) -> list[Any]:
    size = int.from_bytes(await reader.readexactly(4), "big")
    fields: list[Any] = msgpack.unpackb(await reader.readexactly(size))
    return fields


def framed(fields: object) -> bytes:
    packed: bytes = msgpack.packb(fields, use_bin_type=True)
    return len(packed).to_bytes(4, "big") + packed


async def never_greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def never_read_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _read_frame(reader)
    writer.write(framed([1]))
    await asyncio.sleep(60)


async def break_off_mid_frame(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _read_frame(reader)
    writer.write(framed([1]))
    _, number, *_ = await _read_frame(reader)
    writer.write(framed([3, number, [["edge", "edge", "two", 1, 0, 0, 0, 0, []]]])[:-9])
    await writer.drain()
    writer.transport.abort()


async def talk_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _read_frame(reader)
    writer.write(framed([1]))
    _, number, *_ = await _read_frame(reader)
    writer.write(framed([3, number, [["edge", "edge"]]]))
    await asyncio.sleep(60)


@asynccontextmanager
async def impostor(servers: Servers, behaviour: Behaviour) -> AsyncIterator[None]:
    """Something else listens where the edge did."""
    connected: list[asyncio.Task[Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connected.append(task)
        try:
            await behaviour(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    honest, servers.ports["edge"] = servers.ports["edge"], server.sockets[0].getsockname()[1]
    for connection in list(servers["edge"]._peers._tasks):
        connection.abort()
    try:
        yield
    finally:
        servers.ports["edge"] = honest
        server.close()
        for task in connected:
            task.cancel()


@pytest.mark.parametrize(
    "behaviour", [never_greet, never_read_on, break_off_mid_frame, talk_nonsense]
)
def test_a_node_that_answers_no_more_is_done_without(behaviour: Behaviour) -> None:
    async def drill() -> tuple[Counter[str], Counter[str], float, Counter[str]]:
        async with hierarchy(models(), timeouts=HASTY) as (client, servers):
            await put_in_force(servers, routes=ONLY_EDGE)
            before = await traffic(client, 10)
            async with impostor(servers, behaviour):
                started_s = time.monotonic()
                during = await traffic(client, 100)
                spent_s = time.monotonic() - started_s
            await asyncio.sleep(HASTY.silence_s + HASTY.connecting_s + 4 * HASTY.again_s)
            await traffic(client, 1)
            return before, during, spent_s, await traffic(client, 10)

    before, during, spent_s, after = run_drill(drill)
    assert before == {"edge": 10}
    assert during == {"client": 100}
    assert spent_s < 3.0
    assert after == {"edge": 10}


def test_a_slow_node_holds_its_own_queries_up_and_no_others() -> None:
    async def drill() -> tuple[bool, Counter[str]]:
        runtimes = models()
        runtimes["two"].gate.clear()
        async with hierarchy(runtimes, timeouts=HASTY) as (client, servers):
            await put_in_force(servers, routes=ONLY_EDGE)
            slow = asyncio.ensure_future(traffic(client, 100))
            await asyncio.sleep(0.1)
            local = RouteTable(2, {"depth": ((Target("client", "client", "one"), 1.0),)})
            client.route(local)
            await client.answer("depth", image(1))
            still_slow = not slow.done()
            runtimes["two"].gate.set()
            return still_slow, await slow

    still_slow, outcomes = run_drill(drill)
    assert still_slow
    assert sum(outcomes.values()) == 100
    assert set(outcomes) <= {"edge", "client", "overloaded"}
    assert outcomes["edge"] > 0


def test_what_a_peer_does_not_read_is_bounded_and_refused_below() -> None:
    """Bytes pile up neither in the sender nor, for answers, in the node above."""
    large = np.zeros((512, 512, 1), np.uint8)

    async def drill() -> tuple[Counter[str], int]:
        async with hierarchy(models()) as (_, servers), impostor(servers, never_read_on):

            async def find() -> tuple[str, int]:
                return "127.0.0.1", servers.ports["edge"]

            link = LinkPacer(SteadyCapacity(1e12), 0.0, 1.0)
            way = PeerConnection(find, "a-token", timeouts=HASTY)
            uplink = Uplink(link, way, max_in_flight_bytes=8 * 2**20)
            ask = (Ask(Target("edge", "edge", "two"), ("depth",)),)

            async def one() -> str:
                try:
                    await uplink.call(ask, large)
                except RefusedError as refusal:
                    return refusal.reason
                return "answered"

            calls = []
            for _ in range(100):
                calls.append(asyncio.ensure_future(one()))
                await asyncio.sleep(0)
            outcomes = Counter(await asyncio.gather(*calls))
            uplink.close()
            return outcomes, link.sent_bytes

    outcomes, sent_bytes = run_drill(drill)
    assert set(outcomes) == {"link_full", "peer_lost"}
    assert sum(outcomes.values()) == 100
    assert sent_bytes <= 8 * 2**20 + 2 * large.nbytes


def test_a_peer_that_does_not_read_its_answers_is_not_read_either() -> None:
    async def drill() -> None:
        runtimes = models()
        async with hierarchy(runtimes) as (_, servers):
            await servers["edge"].load(("two",))
            reader, writer = await asyncio.open_connection("127.0.0.1", servers.ports["edge"])
            # Stop reading at once; asyncio has no public way to say so.
            reader._limit = 1  # type: ignore[attr-defined]
            writer.write(framed([0, "a-token"]))
            await asyncio.sleep(0.1)
            (connection,) = servers["edge"]._peers._tasks
            connection.pause_writing()
            transport = connection._transport
            assert transport is not None
            assert not transport.is_reading()
            connection.resume_writing()
            assert transport.is_reading()
            writer.close()

    run_drill(drill)


def test_a_caller_that_breaks_off_mid_frame_leaves_nothing_behind() -> None:
    async def drill() -> tuple[tuple[Mapping[str, int], int], Counter[str]]:
        runtimes = models()
        async with hierarchy(runtimes) as (client, servers):
            await put_in_force(servers, routes=ONLY_EDGE)
            runtimes["two"].gate.clear()
            asked = [["edge", "edge", "two", ["depth"]]]
            for _ in range(20):
                _, writer = await asyncio.open_connection("127.0.0.1", servers.ports["edge"])
                query = framed([2, 1, asked, None, [4, 4, 3], bytes(48)])
                writer.write(framed([0, "a-token"]) + query + query[:-20])
                await writer.drain()
                await asyncio.sleep(0.005)
                writer.transport.abort()
            await asyncio.sleep(0.1)
            left = servers["edge"].snapshot().waiting, len(servers["edge"]._peers._tasks)
            runtimes["two"].gate.set()
            return left, await traffic(client, 10)

    left, outcomes = run_drill(drill)
    assert left == ({"two": 0}, 1)  # the client's own connection
    assert outcomes == {"edge": 10}


def test_a_device_that_fails_is_answered_for_elsewhere_and_taken_back() -> None:
    async def drill() -> tuple[Counter[str], bool, Counter[str], bool]:
        runtimes = models()
        async with hierarchy(runtimes) as (client, servers):
            await put_in_force(servers, routes=ONLY_EDGE)
            runtimes["two"].fails = True
            failing = await traffic(client, 40)
            broken = servers["edge"].failing
            runtimes["two"].fails = False
            return failing, broken, await traffic(client, 10), servers["edge"].failing

    failing, broken, after, still = run_drill(drill)
    assert failing == {"client": 40}
    assert (broken, still) == (True, False)
    assert after == {"edge": 10}


def test_when_nothing_is_left_queries_are_refused_not_lost() -> None:
    async def drill() -> tuple[Counter[str], NodeSnapshot]:
        runtimes = models()
        async with hierarchy(runtimes, timeouts=HASTY) as (client, servers):
            await put_in_force(servers, routes=ONLY_EDGE)
            runtimes["one"].fails = True
            servers.kill("edge")
            outcomes = await traffic(client, 60)
            return outcomes, client.snapshot()

    outcomes, snapshot = run_drill(drill)
    assert sum(outcomes.values()) == 60
    assert set(outcomes) <= {"device_failed", "peer_unreachable", "peer_lost"}
    assert sum(snapshot.refused.values()) == snapshot.arrived["depth"] == 60
    assert set(TASKS) >= set(snapshot.arrived)
