"""A query whose way is full takes another one that has room (spill-over)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Unpack

import pytest

from serving.errors import RefusalReason, RefusedError
from serving.node.snapshot import NodeSnapshot
from serving.routing.routes import RouteTable, Target
from support.node_fakes import ONLY_EDGE, TASKS, NodeOptions, hierarchy, image, models

pytestmark = pytest.mark.real_time

HERE = Target("client", "client", "one")
EDGE = Target("edge", "edge", "two")
CLOUD = Target("cloud", "cloud", "three")
NARROW = 500
"""bytes per second: the third of several images at once finds a window's backlog"""


@dataclass
class Seen:
    """What became of queries that came all at once."""

    outcomes: Counter[str]
    """by the node that answered, or the reason"""
    snapshot: NodeSnapshot


def burst(
    table: RouteTable,
    count: int,
    tasks: tuple[str, ...] = ("depth",),
    bandwidth: int = 10**9,
    local: tuple[str, ...] = ("one",),
    **options: Unpack[NodeOptions],
) -> Seen:
    async def ask(outcomes: Counter[str], client: object) -> None:
        try:
            answers = await client.answer_all(tasks, image(1))  # type: ignore[attr-defined]
        except RefusedError as refusal:
            outcomes[refusal.reason] += 1
        else:
            outcomes.update({routed.target.node for routed in answers.values()})

    async def scenario() -> Seen:
        async with hierarchy(models(), bandwidth=bandwidth, **options) as (client, servers):
            await client.load(local)
            await servers["edge"].load(("two",))
            await servers["cloud"].load(("three",))
            client.route(table)
            outcomes: Counter[str] = Counter()
            await asyncio.gather(*(ask(outcomes, client) for _ in range(count)))
            return Seen(outcomes, client.snapshot())

    return asyncio.run(scenario())


def test_what_finds_its_link_full_is_answered_at_home() -> None:
    seen = burst(RouteTable(1, ONLY_EDGE), 10, bandwidth=NARROW)
    assert set(seen.outcomes) == {"client", "edge"}
    assert seen.outcomes.total() == 10
    assert seen.snapshot.spilled == {RefusalReason.LINK_FULL: seen.outcomes["client"]}
    assert seen.snapshot.refused == {}


def test_nothing_spills_where_it_is_switched_off() -> None:
    seen = burst(RouteTable(1, ONLY_EDGE), 10, bandwidth=NARROW, spill_over=False)
    assert set(seen.outcomes) == {"edge", "link_full"}
    assert seen.snapshot.spilled == {}


def test_without_another_way_the_first_refusal_is_told() -> None:
    seen = burst(RouteTable(1, ONLY_EDGE), 10, bandwidth=NARROW, local=())
    assert set(seen.outcomes) == {"edge", "link_full"}
    assert seen.snapshot.refused == {RefusalReason.LINK_FULL: seen.outcomes["link_full"]}


@pytest.mark.parametrize(
    ("refuges", "taken"), [((CLOUD, EDGE, HERE), "cloud"), ((EDGE, CLOUD, HERE), "edge")]
)
def test_the_most_accurate_way_with_room_is_taken_first(
    refuges: tuple[Target, ...], taken: str
) -> None:
    """The client's own queue is full at once: two may wait."""

    async def scenario() -> Counter[str]:
        runtimes = models()
        runtimes["one"].batch_s = 0.15  # T_b is .2 s: a second batch would be late
        async with hierarchy(runtimes) as (client, servers):
            await client.load(("one",))
            await servers["edge"].load(("two",))
            await servers["cloud"].load(("three",))
            client.route(RouteTable(1, {"depth": ((HERE, 1.0),)}, {"depth": refuges}))
            answers = await asyncio.gather(*(client.answer("depth", image(1)) for _ in range(120)))
            return Counter(routed.target.node for routed in answers)

    nodes = asyncio.run(scenario())
    assert set(nodes) == {"client", taken}


def test_the_tasks_of_an_image_that_share_a_pass_spill_together() -> None:
    routes = dict.fromkeys(TASKS, ((EDGE, 1.0),))
    seen = burst(RouteTable(1, routes), 10, tasks=TASKS, bandwidth=NARROW)
    assert set(seen.outcomes) == {"client", "edge"}
    assert seen.outcomes.total() == 10  # no request was answered in two places
    assert seen.snapshot.served == {"one": 2 * seen.outcomes["client"]}
    assert seen.snapshot.spilled == {RefusalReason.LINK_FULL: 2 * seen.outcomes["client"]}


def test_a_refuge_that_holds_nothing_yet_is_no_way() -> None:
    refuges: Mapping[str, tuple[Target, ...]] = {"depth": (HERE, EDGE)}
    seen = burst(RouteTable(1, ONLY_EDGE, refuges), 10, bandwidth=NARROW, local=())
    assert set(seen.outcomes) == {"edge", "link_full"}


def test_a_node_above_leaves_it_to_the_client_where_else_to_go() -> None:
    """What an edge refuses goes back to the client, whose promise it is, and not on from there."""

    async def scenario() -> tuple[Counter[str], NodeSnapshot]:
        runtimes = models()
        runtimes["two"].batch_s = 0.15
        async with hierarchy(runtimes) as (client, servers):
            await client.load(("one",))
            await servers["edge"].load(("two",))
            await servers["cloud"].load(("three",))
            client.route(RouteTable(1, ONLY_EDGE))
            answers = await asyncio.gather(*(client.answer("depth", image(1)) for _ in range(120)))
            nodes = Counter(routed.target.node for routed in answers)
            assert {routed.bound_s for routed in answers} == {0.4}  # the edge's, also of the others
            return nodes, servers["edge"].snapshot()

    nodes, edge = asyncio.run(scenario())
    assert set(nodes) == {"client", "edge"}
    assert edge.served == {"two": nodes["edge"]}
    assert edge.sent_bytes == 0


def test_tasks_that_find_their_own_model_full_take_other_ways_each_and_are_counted() -> None:
    """Two models at home, one of them too slow: its task goes up, the other's stays."""

    async def scenario() -> tuple[Counter[tuple[str, str]], NodeSnapshot]:
        runtimes = models()
        runtimes["one"].batch_s = 0.5  # 2 T_b are .4 s: but for a probe a second, nothing is queued
        async with hierarchy(runtimes) as (client, servers):
            await client.load(("one", "three"))
            await servers["edge"].load(("two",))
            mine, other = HERE, Target("client", "client", "three")
            routes = {"depth": ((mine, 1.0),), "edges": ((other, 1.0),)}
            client.route(RouteTable(1, routes, {"depth": (mine, EDGE)}))
            found: Counter[tuple[str, str]] = Counter()
            async with asyncio.timeout(30):
                while not found["depth", "two"]:
                    try:
                        answers = await client.answer_all(TASKS, image(1))
                    except RefusedError:  # a probe holds the device, or it stood still
                        await asyncio.sleep(0.05)
                        continue
                    found.update((task, routed.target.model) for task, routed in answers.items())
                    spilled = answers["depth"].spilled
                    assert (spilled is None) == (answers["depth"].target == mine)
            return found, client.snapshot()

    found, seen = asyncio.run(scenario())
    assert found["edges", "three"] == found["depth", "one"] + found["depth", "two"]
    assert sum(seen.spilled.values()) >= found["depth", "two"]
