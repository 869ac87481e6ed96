"""Client, edge and cloud nodes over real sockets on loopback, with fake models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
import uvloop

from serving.errors import RefusalReason, RefusedError
from serving.node.links.framing import FrameProtocol
from serving.node.links.peer_connection import UplinkTimeouts
from serving.node.node_core import Routed
from serving.node.snapshot import NodeSnapshot
from serving.routing.routes import RouteTable, Target
from support.node_fakes import ONLY_EDGE, FakeRuntime, hierarchy, image, models, put_in_force

pytestmark = pytest.mark.real_time


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_queries_take_every_way_and_come_back_right(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def scenario() -> tuple[list[Routed], NodeSnapshot]:
        async with hierarchy(models()) as (client, servers):
            await put_in_force(servers)
            routed = await asyncio.gather(*(client.answer("depth", image(10)) for _ in range(30)))
            return routed, client.snapshot()

    with asyncio.Runner(loop_factory=new_loop) as runner:  # a Serve replica's loop is uvloop's
        routed, snapshot = runner.run(scenario())
    assert [r.target.tier for r in routed].count("cloud") == 10
    for answer in routed:
        number = {"one": 1, "two": 2, "three": 3}[answer.target.model]
        assert float(answer.forwarded.served.prediction[0, 0]) == 10 + number
    assert snapshot.arrived == {"depth": 30}
    assert snapshot.refused == {}
    assert {r.bound_s for r in routed if r.target.node == "edge"} == {0.4}


def test_a_link_holds_its_bandwidth_and_round_trip() -> None:
    image_bytes = 4 * 4 * 3 + 96

    async def scenario() -> tuple[float, list[Routed]]:
        async with hierarchy(models(), bandwidth=image_bytes * 50, rtt_s=0.04) as (client, servers):
            await put_in_force(servers, routes=ONLY_EDGE, local=())
            started_s = time.monotonic()
            routed = await asyncio.gather(*(client.answer("depth", image(1)) for _ in range(8)))
            return time.monotonic() - started_s, routed

    spent_s, routed = asyncio.run(scenario())
    assert spent_s >= 8 / 50 + 0.04
    # The last query may have asked an image's time later than the first one.
    assert max(r.forwarded.link_s for r in routed) >= 7 / 50 + 0.04


def test_a_link_that_is_too_small_refuses() -> None:
    async def scenario() -> tuple[list[Routed | BaseException], Mapping[RefusalReason, int]]:
        async with hierarchy(models(), bandwidth=500) as (client, servers):
            await put_in_force(servers, routes=ONLY_EDGE, local=())
            outcomes = await asyncio.gather(
                *(client.answer("depth", image(1)) for _ in range(10)), return_exceptions=True
            )
            return outcomes, client.snapshot().refused

    outcomes, refused = asyncio.run(scenario())
    refusals = [outcome for outcome in outcomes if isinstance(outcome, RefusedError)]
    assert {refusal.reason for refusal in refusals} == {"link_full"}
    assert refused[RefusalReason.LINK_FULL] == len(refusals) > 0
    assert len(refusals) < 10


def test_a_refusal_of_the_far_side_reaches_the_caller() -> None:
    async def scenario() -> tuple[RefusalReason, Mapping[RefusalReason, int]]:
        async with hierarchy(models()) as (client, _):
            client.route(RouteTable(1, {"depth": ((Target("cloud", "cloud", "three"), 1.0),)}))
            with pytest.raises(RefusedError, match="'three' is not loaded here") as caught:
                await client.answer("depth", image(1))
            return caught.value.reason, client.snapshot().refused

    assert asyncio.run(scenario()) == ("model_not_loaded", {"model_not_loaded": 1})


def test_what_a_node_does_not_hold_is_answered_by_another() -> None:
    async def scenario() -> list[Routed]:
        async with hierarchy(models()) as (client, servers):
            await put_in_force(servers)
            await servers["cloud"].retire(1, frozenset())
            return await asyncio.gather(*(client.answer("depth", image(1)) for _ in range(3)))

    routed = asyncio.run(scenario())
    assert {answer.target.node for answer in routed} == {"client", "edge"}


def test_a_peer_without_the_token_is_turned_away() -> None:
    async def scenario() -> RefusalReason:
        async with hierarchy(models(), token="wrong") as (client, servers):
            await put_in_force(servers, routes=ONLY_EDGE, local=())
            with pytest.raises(RefusedError, match="closed the connection before") as caught:
                await asyncio.wait_for(client.answer("depth", image(1)), 5)
            return caught.value.reason

    assert asyncio.run(scenario()) == "peer_unreachable"


def test_a_node_that_went_away_is_refused_and_found_again() -> None:
    async def scenario() -> tuple[RefusalReason, RefusalReason]:
        runtimes = models()
        async with hierarchy(runtimes) as (client, servers):
            await put_in_force(servers, routes=ONLY_EDGE, local=())
            runtimes["two"].gate.clear()
            call = asyncio.ensure_future(client.answer("depth", image(1)))
            await asyncio.sleep(0.05)
            servers["edge"]._peers.close()
            with pytest.raises(RefusedError) as caught:
                await call
            runtimes["two"].gate.set()
            with pytest.raises(RefusedError) as unreachable:
                await client.answer("depth", image(1))
            return caught.value.reason, unreachable.value.reason

    assert asyncio.run(scenario()) == ("peer_lost", "peer_unreachable")


def test_queries_of_a_failed_node_are_answered_elsewhere() -> None:
    """First by the task's other ways, then by any local model that serves it."""

    async def scenario() -> tuple[list[Routed], Mapping[RefusalReason, int]]:
        runtimes = models()
        async with hierarchy(runtimes) as (client, servers):
            either = {"depth": (*ONLY_EDGE["depth"], (Target("client", "client", "one"), 1e-9))}
            await put_in_force(servers, routes=either)
            runtimes["two"].gate.clear()
            calls = [asyncio.ensure_future(client.answer("depth", image(5))) for _ in range(4)]
            await asyncio.sleep(0.05)
            servers["edge"]._peers.close()
            routed = await asyncio.gather(*calls)
            client.route(RouteTable(2, ONLY_EDGE))
            routed.append(await client.answer("depth", image(5)))
            runtimes["two"].gate.set()
            return routed, client.snapshot().refused

    routed, refused = asyncio.run(scenario())
    assert {answer.target.node for answer in routed} == {"client"}
    assert {float(answer.forwarded.served.prediction[0, 0]) for answer in routed} == {6.0}
    assert refused == {}


def test_a_silent_node_is_given_up_on() -> None:
    async def scenario() -> RefusalReason:
        runtimes = models()
        timeouts = UplinkTimeouts(answer_s=0.1, beat_s=0.02)
        async with hierarchy(runtimes, timeouts=timeouts) as (client, servers):
            await put_in_force(servers, routes=ONLY_EDGE, local=())
            runtimes["two"].gate.clear()
            with pytest.raises(RefusedError) as caught:
                await client.answer("depth", image(1))
            runtimes["two"].gate.set()
            return caught.value.reason

    assert asyncio.run(scenario()) == "peer_silent"


def test_nothing_is_lost_when_plans_change_under_load() -> None:
    async def scenario() -> tuple[list[Routed], dict[str, float]]:
        runtimes = {**models(), "next": FakeRuntime(9)}
        async with hierarchy(runtimes) as (client, servers):
            await put_in_force(servers)
            answers = []

            async def traffic() -> None:
                for _ in range(60):
                    answers.append(asyncio.ensure_future(client.answer("depth", image(10))))
                    await asyncio.sleep(0.004)

            sending = asyncio.ensure_future(traffic())
            await asyncio.sleep(0.08)
            await servers["edge"].load(("next",))
            client.route(RouteTable(2, {"depth": ((Target("edge", "edge", "next"), 1.0),)}))
            await client.drained(2)
            gone = await servers["edge"].retire(2, frozenset({"next"}))
            await sending
            return await asyncio.gather(*answers), gone

    routed, gone = asyncio.run(scenario())
    assert list(gone) == ["two"]
    assert len(routed) == 60
    assert {answer.plan_version for answer in routed} == {1, 2}
    assert {a.target.model for a in routed if a.plan_version == 2} == {"next"}


def test_an_older_plan_never_replaces_a_newer_one() -> None:
    async def scenario() -> int:
        async with hierarchy(models()) as (client, servers):
            await put_in_force(servers, version=5)
            client.route(RouteTable(4, {}))
            return client.table.version

    assert asyncio.run(scenario()) == 5


def test_frames_survive_any_cut() -> None:
    seen: list[list[Any]] = []

    async def scenario() -> None:
        sender = FrameProtocol(lambda _, fields: None)
        receiver = FrameProtocol(lambda _, fields: seen.append(fields))

        class Pipe(asyncio.Transport):
            def __init__(self) -> None:
                super().__init__()
                self.sent = b""

            def writelines(self, parts: Iterable[bytes | bytearray | memoryview]) -> None:
                self.sent += b"".join(parts)

            def is_closing(self) -> bool:
                return False

        pipe = Pipe()
        sender.connection_made(pipe)
        for number in range(5):
            sender.send([number, b"x" * number * 50])
        await asyncio.sleep(0)
        for position in range(0, len(pipe.sent), 7):
            receiver.data_received(pipe.sent[position : position + 7])

    asyncio.run(scenario())
    assert seen == [[number, b"x" * number * 50] for number in range(5)]


@pytest.mark.parametrize("end", [FrameProtocol.close, FrameProtocol.abort])
def test_a_connection_that_is_closed_while_it_is_made_does_not_stay_open(
    end: Callable[[FrameProtocol], None],
) -> None:
    class Transport(asyncio.Transport):
        aborted = False

        def abort(self) -> None:
            self.aborted = True

    protocol, transport = FrameProtocol(lambda _, fields: None), Transport()
    end(protocol)
    protocol.connection_made(transport)
    assert transport.aborted
