"""Both doors open and close together, where they are told to, and again where they were."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing

import grpc
import httpx
import numpy as np
import pytest

from serving.client.client import Client
from serving.ingress.access import DoorConfig
from serving.ingress.listen import Doors, open_doors
from support.open_door import SIZE, Served, decode, serve_node

PIXELS = np.zeros((SIZE, SIZE, 3), np.uint8)


def again(served: Served, http_port: int = 0, grpc_port: int = 0) -> Doors:
    """Doors more for the same node."""
    opening = open_doors(
        served.node, decode, (SIZE, SIZE), http_port=http_port, grpc_port=grpc_port
    )
    return asyncio.run_coroutine_threadsafe(opening, served.loop).result(timeout=10)


def close(served: Served, doors: Doors) -> None:
    asyncio.run_coroutine_threadsafe(doors.close(), served.loop).result(timeout=20)


def test_doors_reopen_where_they_were_after_use() -> None:
    with serve_node() as served:
        first = again(served)
        url = f"http://127.0.0.1:{first.http_port}"
        with Client(url) as client, grpc.insecure_channel(f"127.0.0.1:{first.grpc_port}") as way:
            grpc.channel_ready_future(way).result(timeout=10)
            assert client.infer("depth", PIXELS).values.shape == (SIZE, SIZE)
            close(served, first)
            assert not client.live()
        second = again(served, http_port=first.http_port, grpc_port=first.grpc_port)
        assert (second.http_port, second.grpc_port) == (first.http_port, first.grpc_port)
        with Client(url) as client:
            assert client.infer("depth", PIXELS).values.shape == (SIZE, SIZE)
        close(served, second)


@pytest.mark.parametrize("which", ["http_port", "grpc_port"])
def test_a_port_that_is_taken_is_said_and_leaves_nothing_open(which: str) -> None:
    with serve_node() as served, closing(socket.create_server(("127.0.0.1", 0))) as taken:
        with closing(socket.create_server(("127.0.0.1", 0))) as probe:
            other = int(probe.getsockname()[1])
        ports = {"http_port": other, "grpc_port": other, which: int(taken.getsockname()[1])}
        with pytest.raises(OSError, match=r"in use|cannot listen"):
            again(served, **ports)
        with closing(socket.socket()) as probe:
            assert probe.connect_ex(("127.0.0.1", other)) != 0


def test_a_door_on_ipv6() -> None:
    with serve_node() as served:
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("this machine has no IPv6")
        opening = open_doors(served.node, decode, (SIZE, SIZE), DoorConfig("::1"))
        doors = asyncio.run_coroutine_threadsafe(opening, served.loop).result(timeout=10)
        assert httpx.get(f"http://[::1]:{doors.http_port}/v2").status_code == 200
        with grpc.insecure_channel(f"[::1]:{doors.grpc_port}") as way:
            grpc.channel_ready_future(way).result(timeout=10)
        close(served, doors)


def test_pages_beside_the_protocol_are_served_and_described() -> None:
    with serve_node() as served:
        opening = open_doors(
            served.node, decode, (SIZE, SIZE), pages={"/extra": lambda: ("text/plain", b"here")}
        )
        doors = asyncio.run_coroutine_threadsafe(opening, served.loop).result(timeout=10)
        url = f"http://127.0.0.1:{doors.http_port}"
        assert httpx.get(f"{url}/extra").text == "here"
        assert "/extra" in httpx.get(f"{url}/openapi.json").json()["paths"]
        close(served, doors)
