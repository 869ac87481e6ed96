"""A client that reaches two edges (F12): each query takes the link that the plan gives it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

import pytest

from serving.errors import RefusalReason, RefusedError
from serving.node.links.peer_connection import UplinkTimeouts
from serving.node.links.uplink import QUERY_OVERHEAD_BYTES
from serving.node.node_core import Routed
from serving.node.server import NodeServer
from serving.routing.routes import RouteTable, Target, next_hop
from support.node_fakes import TASKS, TWO_EDGES, FakeRuntime, Servers, hierarchy, image

pytestmark = pytest.mark.real_time

EDGE, OTHER = Target("edge", "edge", "two"), Target("edge", "other", "four")
BY_EDGE, BY_OTHER = (Target("cloud", "cloud", "three", via) for via in ("edge", "other"))
QUERY_BYTES = image(1).nbytes + QUERY_OVERHEAD_BYTES
HASTY = UplinkTimeouts(beat_s=0.02, silence_s=0.1, queue_s=0.1, connecting_s=1.0, again_s=0.05)


def models() -> dict[str, FakeRuntime]:
    return {name: FakeRuntime(number) for number, name in enumerate(("three", "two", "four"), 1)}


async def put_in_force(servers: Servers, **ways: tuple[tuple[Target, float], ...]) -> None:
    for node, model in (("cloud", "three"), ("edge", "two"), ("other", "four")):
        await servers[node].load((model,))
    servers["client"].route(RouteTable(1, ways))


def sent_images(server: NodeServer) -> dict[str, float]:
    """Over each of a node's links."""
    return {hop: uplink.pacer.sent_bytes / QUERY_BYTES for hop, uplink in server._uplinks.items()}


def test_the_next_hop_is_the_edge_named_or_the_target_or_the_first() -> None:
    above = ("edge", "other")
    assert [next_hop(target, above) for target in (EDGE, OTHER, BY_EDGE, BY_OTHER)] == [
        "edge", "other", "edge", "other",
    ]  # fmt: skip
    assert next_hop(Target("cloud", "cloud", "three"), above) == "edge"
    assert next_hop(BY_OTHER, ("cloud",)) == "cloud"  # at the edge
    assert next_hop(EDGE, ()) is None


def test_queries_take_the_links_of_the_plan() -> None:
    async def scenario() -> tuple[list[Routed], dict[str, dict[str, float]], int]:
        async with hierarchy(models(), above=TWO_EDGES) as (client, servers):
            shares = ((EDGE, 0.3), (OTHER, 0.4), (BY_EDGE, 0.1), (BY_OTHER, 0.2))
            await put_in_force(servers, depth=shares)
            answers = [await client.answer("depth", image(10)) for _ in range(20)]
            sent = {name: sent_images(server) for name, server in servers.items()}
            return answers, sent, client.snapshot().sent_bytes

    answers, sent, sent_bytes = asyncio.run(scenario())
    assert Counter(answer.target.node for answer in answers) == {"edge": 6, "other": 8, "cloud": 6}
    numbers = {"cloud": 1, "edge": 2, "other": 3}
    for answer in answers:
        assert answer.forwarded.served.prediction == 10 + numbers[answer.target.node]
    assert sent["client"] == {"edge": 8, "other": 12}
    assert (sent["edge"], sent["other"]) == ({"cloud": 2}, {"cloud": 4})
    assert sent_bytes == 20 * QUERY_BYTES


@pytest.mark.parametrize(("shared", "images"), [(True, 1), (False, 2)])
def test_tasks_of_one_image_share_each_link_that_they_take(shared: bool, images: int) -> None:
    async def scenario() -> tuple[dict[str, Routed], dict[str, Routed], dict[str, float]]:
        async with hierarchy(models(), above=TWO_EDGES, shared_passes=shared) as (client, servers):
            await put_in_force(servers, depth=((BY_OTHER, 1.0),), edges=((OTHER, 1.0),))
            together = await client.answer_all(TASKS, image(10))
            client.route(RouteTable(2, {"depth": ((EDGE, 1.0),), "edges": ((OTHER, 1.0),)}))
            apart = await client.answer_all(TASKS, image(10))
            return together, apart, sent_images(client)

    together, apart, sent = asyncio.run(scenario())
    assert {task: routed.target.node for task, routed in together.items()} == {
        "depth": "cloud", "edges": "other",
    }  # fmt: skip
    assert {task: routed.target.node for task, routed in apart.items()} == {
        "depth": "edge", "edges": "other",
    }  # fmt: skip
    assert sent == {"edge": 1, "other": images + 1}


def test_what_a_lost_edge_would_have_answered_goes_by_the_other() -> None:
    async def scenario() -> tuple[list[Routed | BaseException], Mapping[RefusalReason, int]]:
        async with hierarchy(models(), above=TWO_EDGES, timeouts=HASTY) as (client, servers):
            shares = ((BY_EDGE, 0.25), (EDGE, 0.25), (BY_OTHER, 0.25), (OTHER, 0.25))
            await put_in_force(servers, depth=shares)
            await asyncio.gather(*(client.answer("depth", image(1)) for _ in range(8)))
            servers.kill("edge")
            answers = await asyncio.gather(
                *(client.answer("depth", image(1)) for _ in range(20)), return_exceptions=True
            )
            return answers, client.snapshot().refused

    answers, refused = asyncio.run(scenario())
    assert not [answer for answer in answers if isinstance(answer, RefusedError)]
    routed = [answer for answer in answers if isinstance(answer, Routed)]
    assert len(routed) == len(answers)
    assert {answer.target.node for answer in routed} == {"other", "cloud"}
    assert refused == {}


def test_the_cloud_is_reached_by_the_other_edge_also_where_no_plan_says_so() -> None:
    async def scenario() -> list[Routed]:
        async with hierarchy(models(), above=TWO_EDGES, timeouts=HASTY) as (client, servers):
            await put_in_force(servers, depth=((BY_EDGE, 1.0),))
            await client.answer("depth", image(1))
            servers.kill("edge")
            return await asyncio.gather(*(client.answer("depth", image(1)) for _ in range(5)))

    assert {answer.target for answer in asyncio.run(scenario())} == {Target(*BY_OTHER[:3])}


def test_a_full_link_is_that_links_alone() -> None:
    async def scenario() -> tuple[Routed, list[RefusedError]]:
        # A link takes T_b = 0.2 s of backlog: 4 images of 50 ms each, and one on the way.
        async with hierarchy(models(), above=TWO_EDGES, bandwidth=20 * QUERY_BYTES) as (
            client,
            servers,
        ):
            await put_in_force(servers, depth=((EDGE, 1.0),), edges=((OTHER, 1.0),))
            crowd = [asyncio.ensure_future(client.answer("depth", image(1))) for _ in range(20)]
            await asyncio.sleep(0)
            alone = await client.answer("edges", image(1))
            outcomes = await asyncio.gather(*crowd, return_exceptions=True)
            return alone, [outcome for outcome in outcomes if isinstance(outcome, RefusedError)]

    alone, refused = asyncio.run(scenario())
    assert alone.target == OTHER
    assert {refusal.reason for refusal in refused} == {"link_full"}
    assert alone.forwarded.link_s == pytest.approx(0.05, abs=0.03)
