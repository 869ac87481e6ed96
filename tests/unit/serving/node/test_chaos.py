"""Everything at once, by a seed: kills, resets, failing models, new plans, deadlines, callers that
leave. Every request ends, nothing is left over, and afterwards the nodes answer as before."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import Any

import pytest

from serving.errors import RefusedError
from serving.node.links.peer_connection import PeerConnection, UplinkTimeouts, _Call
from serving.node.links.uplink import Uplink
from serving.node.node_core import Routed
from serving.node.server import NodeServer
from serving.routing.routes import RouteTable, Target
from support.node_fakes import TASKS, FakeRuntime, Routes, Servers, hierarchy, image, models

pytestmark = pytest.mark.real_time

HASTY = UplinkTimeouts(
    answer_s=1.0, silence_s=0.4, beat_s=0.05, connecting_s=0.5, queue_s=0.3, again_s=0.05
)
HELD = {"client": "one", "edge": "two", "cloud": "three"}
TARGETS = [Target(node, node, model) for node, model in HELD.items()]
SECONDS = 1.5


def random_routes(chance: random.Random) -> Routes:
    routes = {}
    for task in TASKS:
        weights = [chance.random() for _ in TARGETS]
        total = sum(weights) * chance.choice([1.0, 1.1])
        routes[task] = tuple(
            (target, weight / total) for target, weight in zip(TARGETS, weights, strict=True)
        )
    return routes


async def keep_breaking(
    chance: random.Random, servers: Servers, runtimes: dict[str, FakeRuntime], end_s: float
) -> None:
    version = 1
    while time.monotonic() < end_s:
        await asyncio.sleep(chance.uniform(0.02, 0.12))
        what = chance.choice(["kill", "reset", "fail", "route", "route", "reload"])
        victim = chance.choice(["edge", "cloud"])
        if what == "kill":
            servers.kill(victim)
            await asyncio.sleep(chance.uniform(0, 0.1))
            await servers.start(victim)
            await servers[victim].load((HELD[victim],))
        elif what == "reset":
            for connection in list(servers[victim]._peers._tasks):
                connection.abort()
        elif what == "fail":
            runtimes[HELD[victim]].fails = True
            await asyncio.sleep(chance.uniform(0, 0.1))
            runtimes[HELD[victim]].fails = False
        elif what == "route":
            version += 1
            servers["client"].route(RouteTable(version, random_routes(chance)))
        else:
            await servers[victim].retire(1, frozenset())
            await servers[victim].load((HELD[victim],))


def calls_on(uplink: Uplink) -> dict[int, _Call]:
    """The queries that are out on a link's connection."""
    connection = uplink._transport
    assert isinstance(connection, PeerConnection)
    return connection._calls


@pytest.mark.parametrize("seed", [1, 2])
def test_every_request_ends_whatever_breaks(seed: int) -> None:
    chance = random.Random(seed)
    unhandled: list[dict[str, Any]] = []
    outcomes: Counter[str] = Counter()

    async def ask(client: NodeServer) -> None:
        tasks = chance.choice([("depth",), ("edges",), TASKS])
        deadline_s = chance.choice([None, None, time.monotonic() + chance.uniform(0.0, 0.3)])
        leaves = chance.random() < 0.1
        call = asyncio.ensure_future(
            client.answer_all(tasks, image(chance.randrange(1, 200)), deadline_s=deadline_s)
        )
        if leaves:
            await asyncio.sleep(chance.uniform(0, 0.05))
            call.cancel()
        try:
            outcomes["answered" if set(await call) == set(tasks) else "in part"] += 1
        except RefusedError as refusal:
            outcomes[refusal.reason] += 1
        except asyncio.CancelledError:
            outcomes["left"] += 1

    async def drill() -> tuple[
        int, list[dict[str, Routed]], list[tuple[int, int, int]], list[int], int, int
    ]:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: unhandled.append(what))
        runtimes = models()
        for runtime in runtimes.values():
            runtime.batch_s = 0.003
        async with hierarchy(runtimes, timeouts=HASTY) as (client, servers):
            for node, model in HELD.items():
                await servers[node].load((model,))
            client.route(RouteTable(1, random_routes(chance)))
            end_s = time.monotonic() + SECONDS
            breaking = asyncio.ensure_future(keep_breaking(chance, servers, runtimes, end_s))
            calls = []
            while time.monotonic() < end_s:
                calls.append(asyncio.ensure_future(ask(client)))
                await asyncio.sleep(0.004)
            async with asyncio.timeout(15):
                await breaking
                await asyncio.gather(*calls)
            await asyncio.sleep(2 * HASTY.again_s)
            everything = {task: tuple((t, 1 / 3) for t in TARGETS) for task in TASKS}
            client.route(RouteTable(10_000, everything))
            for _ in range(3):  # what went away is found again
                await client.answer_all(TASKS, image(1))
                await asyncio.sleep(2 * HASTY.again_s)
            after = [await client.answer_all(TASKS, image(1)) for _ in range(6)]
            left_over = [
                (*uplink.in_flight, len(calls_on(uplink)))
                for server in (client, servers["edge"])
                for uplink in server._uplinks.values()
            ]
            waiting = [sum(server.snapshot().waiting.values()) for server in servers.values()]
            serving = sum(
                len(tasks) for server in servers.values() for tasks in server._peers._tasks.values()
            )
            return len(calls), after, left_over, waiting, serving, sum(client._in_flight.values())

    sent, after, left_over, waiting, serving, in_flight = asyncio.run(drill())
    assert unhandled == []
    assert sum(outcomes.values()) == sent
    assert outcomes["answered"] > sent / 3
    assert outcomes["in part"] == 0
    assert left_over == [(0, 0, 0)] * 2
    assert (sum(waiting), serving, in_flight) == (0, 0, 0)
    assert {a["depth"].target.node for a in after} == {"client", "edge", "cloud"}
