"""A node listens at the far ends of the links that were laid to it, each for the node below."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from serving.node.config import NodeConfig
from serving.node.server import NodeServer
from support.node_fakes import NODES, TASKS, TOKEN


async def listening(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


def node(**hosts: str) -> NodeServer:
    config = replace(NodeConfig(NODES["edge"], (), TASKS, TOKEN), link_hosts=hosts)

    def load(_: str) -> None:
        raise AssertionError("nothing is loaded here")

    return NodeServer(config, load, lambda _: (1, 1, 3))  # type: ignore[arg-type]


def test_each_link_has_a_port_at_its_own_address_and_all_close_together() -> None:
    async def scenario() -> tuple[dict[str, tuple[str, int]], list[bool], list[bool]]:
        server = node(one="127.0.0.2", two="127.0.0.3")
        found = await server.start_links()
        open_before = [await listening(*found[below]) for below in ("one", "two")]
        open_before.append(await listening("127.0.0.4", found["one"][1]))
        server.close()
        await asyncio.sleep(0)
        return found, open_before, [await listening(*found[below]) for below in ("one", "two")]

    found, before, after = asyncio.run(scenario())
    assert {below: host for below, (host, _) in found.items()} == {
        "one": "127.0.0.2", "two": "127.0.0.3",
    }  # fmt: skip
    assert before == [True, True, False]
    assert after == [False, False]


def test_an_address_that_the_node_does_not_have_is_told() -> None:
    async def scenario() -> None:
        server = node(one="192.0.2.1")
        try:
            await server.start_links()
        finally:
            server.close()

    with pytest.raises(OSError, match=r"192\.0\.2\.1"):
        asyncio.run(scenario())
