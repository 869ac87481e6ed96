"""Nodes without torch: runtimes whose answers say which image and model they came from."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypedDict, Unpack

import numpy as np
from pydantic import ByteSize

from cluster.topology import Link, Node, Tier
from serving.node.config import NodeConfig
from serving.node.device.served import Runtime
from serving.node.links.peer_connection import UplinkTimeouts
from serving.node.server import NodeServer
from serving.routing.routes import RouteTable, Target
from serving.tracing.active import Tracing

TASKS = ("depth", "edges")
SHAPE = (4, 4, 3)


class FakeRuntime:
    """Answers are the image's first value plus the model's number; takes `batch_s` a batch and
    `image_s` an image.

    `batches` has the sizes of its batches but those of black images: rehearsals."""

    weights_bytes = 4

    def __init__(
        self, number: int = 0, batch_s: float = 0.0, fails: bool = False, image_s: float = 0.0
    ) -> None:
        self.number = number
        self.batch_s = batch_s
        self.image_s = image_s
        self.fails = fails
        self.batches: list[int] = []
        self.closed = False
        self.gate = threading.Event()
        self.gate.set()

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        self.gate.wait(5)
        time.sleep(self.batch_s + self.image_s * len(images))
        if self.fails:
            raise RuntimeError("out of memory")
        if images.any():
            self.batches.append(len(images))
        value = images[:, :1, :1, 0].astype(np.float32) + self.number
        return dict.fromkeys(TASKS, value)

    def close(self) -> None:
        self.closed = True


def image(value: int) -> np.ndarray:
    return np.full(SHAPE, value, dtype=np.uint8)


def node(name: str, tier: Tier) -> Node:
    return Node(name=name, tier=tier, memory=ByteSize(1), compute=0.5, window_s=0.2)


Routes = Mapping[str, tuple[tuple[Target, float], ...]]
Above = dict[str, tuple[str, ...]]
"""node -> nodes directly above it, lowest tier first"""

TOKEN = "a-token"
NODES = {
    "client": node("client", Tier.CLIENT),
    "edge": node("edge", Tier.EDGE),
    "other": node("other", Tier.EDGE),
    "cloud": node("cloud", Tier.CLOUD),
}
ROUTES: Routes = {
    "depth": (
        (Target("client", "client", "one"), 1 / 3),
        (Target("edge", "edge", "two"), 1 / 3),
        (Target("cloud", "cloud", "three"), 1 / 3),
    )
}
ONLY_EDGE: Routes = {"depth": ((Target("edge", "edge", "two"), 1.0),)}


ABOVE: Above = {"client": ("edge",), "edge": ("cloud",), "cloud": ()}
TWO_EDGES: Above = {
    "client": ("edge", "other"), "edge": ("cloud",), "other": ("cloud",), "cloud": (),
}  # fmt: skip


class NodeOptions(TypedDict, total=False):
    """What a test may ask of every node besides the usual."""

    shared_passes: bool
    spill_over: bool
    timeouts: UplinkTimeouts


class Servers(dict[str, NodeServer]):
    """The nodes by name. `start` also replaces one by a fresh one that listens elsewhere."""

    def __init__(
        self,
        runtimes: Mapping[str, Runtime],
        above: Above,
        bandwidth: int,
        rtt_s: float,
        token: str,
        options: NodeOptions,
        tracing: Callable[[str], Tracing] | None,
    ) -> None:
        super().__init__()
        self._tracing = tracing
        self._above = above
        self.ports: dict[str, int] = {}
        self._runtimes, self._bandwidth, self._rtt_s = runtimes, bandwidth, rtt_s
        self._token, self._options = token, options

    async def start(self, name: str) -> NodeServer:
        async def find(node: str) -> tuple[str, int]:
            return "127.0.0.1", self.ports[node]

        config = NodeConfig(
            NODES[name],
            tuple(
                Link(
                    source=name, target=node, bandwidth=ByteSize(self._bandwidth), rtt_s=self._rtt_s
                )
                for node in self._above[name]
            ),
            TASKS,
            self._token if name == "client" else TOKEN,
            {"edge": 0.4},
            **self._options,
        )
        server = self[name] = NodeServer(
            config, self._runtimes.__getitem__, lambda _: SHAPE, find, lambda _: TASKS,
            tracing=None if self._tracing is None else self._tracing(name),
        )  # fmt: skip
        self.ports[name] = await server.start()
        return server

    def kill(self, name: str) -> None:
        """Let a node's sockets go as they do when its process is killed."""
        for listener in self[name]._peers._servers:
            listener.close()
        for connection in list(self[name]._peers._tasks):
            connection.abort()
        self[name].close()


@asynccontextmanager
async def hierarchy(
    runtimes: Mapping[str, Runtime],
    *,
    above: Above = ABOVE,
    bandwidth: int = 10**9,
    rtt_s: float = 0.0,
    token: str = TOKEN,
    tracing: Callable[[str], Tracing] | None = None,
    **options: Unpack[NodeOptions],
) -> AsyncIterator[tuple[NodeServer, Servers]]:
    """Client -> edge -> cloud; yields the client's server and all servers by name."""
    servers = Servers(runtimes, above, bandwidth, rtt_s, token, options, tracing)
    for name in reversed(above):
        await servers.start(name)
    try:
        yield servers["client"], servers
    finally:
        # A connection that asyncio accepts in the turn in which its server closes stays open, lost.
        # Ten turns let those that are on their way arrive first.
        for _ in range(10):
            await asyncio.sleep(0)
        for server in servers.values():
            server.close()


async def put_in_force(
    servers: Servers,
    version: int = 1,
    routes: Routes = ROUTES,
    local: tuple[str, ...] = ("one",),
) -> None:
    await servers["client"].load(local)
    await servers["edge"].load(("two",))
    await servers["cloud"].load(("three",))
    servers["client"].route(RouteTable(version, routes))


def models() -> dict[str, FakeRuntime]:
    return {"one": FakeRuntime(1), "two": FakeRuntime(2), "three": FakeRuntime(3)}
