"""A refused query leaves nothing behind: its picture is freed at once, without a collection."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from serving.errors import NotServedError, RefusedError
from serving.node.server import NodeServer
from serving.routing.routes import RouteTable, Target
from support.node_fakes import ONLY_EDGE, TASKS, hierarchy, models, put_in_force

pytestmark = pytest.mark.real_time

TIMES = 100


@pytest.fixture(autouse=True)
def _no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


SHED = {"depth": ((Target("client", "client", "one"), 1e-12),)}
PARTLY = {
    "depth": ((Target("client", "client", "one"), 1.0),),
    "edges": ((Target("edge", "edge", "missing"), 1.0),),
}


@pytest.mark.parametrize(
    ("routes", "tasks", "deadline_s", "bandwidth", "spills"),
    [
        (SHED, ("depth",), None, 10**9, True),
        (ONLY_EDGE, ("depth",), None, 1, False),
        (ONLY_EDGE, ("depth",), None, 1, True),
        (ONLY_EDGE, ("depth",), -1.0, 10**9, True),
        (ONLY_EDGE, ("depth",), 1e-4, 10**9, True),
        (PARTLY, TASKS, None, 1, False),
        ({}, ("depth",), None, 10**9, True),
    ],
    ids=[
        "shed",
        "link full",
        "no other way",
        "deadline gone",
        "deadline close",
        "a part",
        "unserved",
    ],
)
def test_pictures_of_refused_queries_are_freed_at_once(
    routes: dict[str, tuple[tuple[Target, float], ...]],
    tasks: tuple[str, ...],
    deadline_s: float | None,
    bandwidth: int,
    spills: bool,
) -> None:
    alive: list[weakref.ref[np.ndarray]] = []

    async def ask(client: NodeServer) -> bool:
        image = np.zeros((2, 2, 3), np.uint8)
        alive.append(weakref.ref(image))
        at_s = None if deadline_s is None else client._clock() + deadline_s
        try:
            await client.answer_all(tasks, image, deadline_s=at_s)
        except (RefusedError, NotServedError):
            return True
        return False

    async def scenario() -> tuple[int, int]:
        async with hierarchy(models(), bandwidth=bandwidth, spill_over=spills) as (client, servers):
            await put_in_force(servers, routes=routes)
            if spills and bandwidth == 1:
                await client.retire(1, frozenset())
            client.route(RouteTable(2, routes))
            asked = [asyncio.ensure_future(ask(client)) for _ in range(TIMES)]
            done, waiting = await asyncio.wait(asked, timeout=1.0)
            refused = sum(each.result() for each in done)
            for each in waiting:  # the first of a link that is full after it
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            del asked, done, waiting
            await asyncio.sleep(0.05)
            return refused, sum(ref() is not None for ref in alive)

    refused, held = asyncio.run(scenario())
    assert refused > TIMES / 2
    assert held <= 2
