"""Half-open connections: what is sent vanishes, and neither end is told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from serving.errors import RefusalReason, RefusedError
from serving.node.links.framing import KEEP_ALIVE
from serving.node.links.link_condition import LinkCondition
from serving.node.links.peer_connection import PeerConnection, UplinkTimeouts
from serving.node.server import NodeServer
from support.node_fakes import ONLY_EDGE, Servers, hierarchy, image, models, put_in_force

T = TypeVar("T")
HASTY = UplinkTimeouts(
    answer_s=5.0, silence_s=0.3, beat_s=0.05, connecting_s=0.3, queue_s=0.2, again_s=0.05
)
SILENT, WHOLE = LinkCondition(silent=True), LinkCondition()


def run(scenario: Callable[[NodeServer, Servers], Coroutine[Any, Any, T]]) -> T:
    async def main() -> T:
        async with hierarchy(models(), timeouts=HASTY) as (client, servers):
            await put_in_force(servers, routes=ONLY_EDGE)
            assert await way(client) == "edge"
            return await scenario(client, servers)

    return asyncio.run(asyncio.wait_for(main(), 20))


async def way(client: NodeServer) -> str:
    try:
        return (await client.answer("depth", image(1))).target.node
    except RefusedError as refusal:
        return str(refusal.reason)


def connections(servers: Servers) -> list[bool]:
    """Of the edge's door to below: whether each connection is open."""
    return [connection.connected for connection in servers["edge"]._peers._tasks]


def test_a_silent_link_is_given_up_and_the_far_side_does_not_hear_of_it() -> None:
    async def scenario(client: NodeServer, servers: Servers) -> list[Any]:
        client.change_link("edge", SILENT)
        out = asyncio.ensure_future(way(client))
        await asyncio.sleep(HASTY.silence_s / 2)
        waits = not out.done()
        found = await out
        later = [await way(client) for _ in range(3)]
        return [waits, found, set(later), connections(servers)]

    # The link is closed here; to the edge its connection is open as ever.
    assert run(scenario) == [True, "client", {"client"}, [True]]


def test_a_silent_link_that_carries_again_is_used_again_and_the_old_connection_ends() -> None:
    async def scenario(client: NodeServer, servers: Servers) -> list[Any]:
        client.change_link("edge", SILENT)
        lost = await way(client)
        client.change_link("edge", WHOLE)
        async with asyncio.timeout(10):
            while await way(client) != "edge":
                await asyncio.sleep(HASTY.again_s)
            while len(connections(servers)) > 1:
                await asyncio.sleep(0.01)
        return [lost, client.snapshot().refused, connections(servers)]

    assert run(scenario) == ["client", {}, [True]]


def test_a_short_silence_loses_nothing() -> None:
    async def scenario(client: NodeServer, servers: Servers) -> list[Any]:
        client.change_link("edge", SILENT)
        out = [asyncio.ensure_future(way(client)) for _ in range(3)]
        await asyncio.sleep(HASTY.silence_s / 3)
        assert not any(one.done() for one in out)
        client.change_link("edge", WHOLE)
        return [await asyncio.gather(*out), connections(servers)]

    assert run(scenario) == [["edge"] * 3, [True]]


def test_a_link_that_is_cut_in_its_silence_is_known_to_be_cut() -> None:
    async def scenario(client: NodeServer, servers: Servers) -> list[Any]:
        client.change_link("edge", SILENT)
        out = asyncio.ensure_future(way(client))
        await asyncio.sleep(HASTY.silence_s / 3)
        client.change_link("edge", LinkCondition(share=0.0))
        refusal = client._uplinks["edge"]._transport.refusal()
        assert refusal is not None
        return [await out, refusal.reason]

    assert run(scenario) == ["client", RefusalReason.PEER_UNREACHABLE]


def test_what_waits_on_a_silent_link_does_not_leave_when_the_link_is_cut() -> None:
    async def scenario(client: NodeServer, servers: Servers) -> list[int]:
        served = dict(servers["edge"].snapshot().served)
        client.change_link("edge", SILENT)
        out = asyncio.ensure_future(way(client))
        await asyncio.sleep(HASTY.silence_s / 3)
        client.change_link("edge", LinkCondition(share=0.0))
        await out
        await asyncio.sleep(0.1)
        now = servers["edge"].snapshot().served
        return [sum(served.values()), sum(now.values())]

    assert run(scenario) == [1, 1]


def test_a_connection_that_waits_for_its_welcome_ends_with_its_node() -> None:
    async def main() -> bool:
        silent: list[asyncio.StreamReader] = []
        writers: list[asyncio.StreamWriter] = []

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            silent.append(reader)  # and never a welcome
            writers.append(writer)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()[:2]

        async def find() -> tuple[str, int]:
            return str(address[0]), int(address[1])

        connection = PeerConnection(find, "a-token")
        connection.prepare()
        while not silent:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        connection.close()
        async with asyncio.timeout(2):
            try:
                while await silent[0].read(4096):
                    pass
            except ConnectionResetError:
                pass
        writers[0].close()
        server.close()
        return True

    assert asyncio.run(main())


def test_the_kernel_ends_connections_whose_far_side_vanished() -> None:
    """The door of the upper node has nothing to send on one, so nobody else would notice."""

    async def scenario(client: NodeServer, servers: Servers) -> list[int]:
        (connection,) = servers["edge"]._peers._tasks
        assert connection._transport is not None
        ours = connection._transport.get_extra_info("socket")
        return [
            ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            *(ours.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in known),
        ]

    known = [name for name in KEEP_ALIVE if hasattr(socket, name)]
    assert run(scenario) == [1, *(KEEP_ALIVE[name] for name in known)]
