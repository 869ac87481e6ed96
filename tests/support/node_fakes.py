"""Nodes without torch: runtimes whose answers say which image and model they came from."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager

import numpy as np

from cluster.topology import Link, Node
from serving.node.config import NodeConfig
from serving.node.server import NodeServer
from serving.routing.routes import RouteTable, Target

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

    def run(self, images):
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


TOKEN = "a-token"
NODES = {
    "client": Node(name="client", tier="client", memory=1, compute=0.5, window_s=0.2),
    "edge": Node(name="edge", tier="edge", memory=1, compute=0.5, window_s=0.2),
    "other": Node(name="other", tier="edge", memory=1, compute=0.5, window_s=0.2),
    "cloud": Node(name="cloud", tier="cloud", memory=1, compute=0.5, window_s=0.2),
}
ROUTES = {
    "depth": (
        (Target("client", "client", "one"), 1 / 3),
        (Target("edge", "edge", "two"), 1 / 3),
        (Target("cloud", "cloud", "three"), 1 / 3),
    )
}
ONLY_EDGE = {"depth": ((Target("edge", "edge", "two"), 1.0),)}


ABOVE = {"client": ("edge",), "edge": ("cloud",), "cloud": ()}
TWO_EDGES = {"client": ("edge", "other"), "edge": ("cloud",), "other": ("cloud",), "cloud": ()}
"""node -> nodes directly above it, lowest tier first"""


class Servers(dict):
    """The nodes by name. `start` also replaces one by a fresh one that listens elsewhere."""

    def __init__(self, runtimes, above, bandwidth, rtt_s, token, options) -> None:
        super().__init__()
        self._above = above
        self.ports: dict[str, int] = {}
        self._runtimes, self._bandwidth, self._rtt_s = runtimes, bandwidth, rtt_s
        self._token, self._options = token, options

    async def start(self, name: str) -> NodeServer:
        async def find(node):
            return "127.0.0.1", self.ports[node]

        config = NodeConfig(
            NODES[name],
            tuple(
                Link(source=name, target=node, bandwidth=self._bandwidth, rtt_s=self._rtt_s)
                for node in self._above[name]
            ),
            TASKS,
            self._token if name == "client" else TOKEN,
            {"edge": 0.4},
            **self._options,
        )
        self[name] = NodeServer(
            config, self._runtimes.__getitem__, lambda _: SHAPE, find, lambda _: TASKS
        )
        self.ports[name] = await self[name].start()
        return self[name]

    def kill(self, name: str) -> None:
        """Let a node's sockets go as they do when its process is killed."""
        self[name]._peers._server.close()
        for connection in list(self[name]._peers._tasks):
            connection.abort()
        self[name].close()


@asynccontextmanager
async def hierarchy(runtimes, *, above=ABOVE, bandwidth=10**9, rtt_s=0.0, token=TOKEN, **options):
    """Client -> edge -> cloud; yields the client's server and all servers by name."""
    servers = Servers(runtimes, above, bandwidth, rtt_s, token, options)
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


async def put_in_force(servers, version=1, routes=ROUTES, local=("one",)):
    await servers["client"].load(local)
    await servers["edge"].load(("two",))
    await servers["cloud"].load(("three",))
    servers["client"].route(RouteTable(version, routes))


def models():
    return {"one": FakeRuntime(1), "two": FakeRuntime(2), "three": FakeRuntime(3)}
