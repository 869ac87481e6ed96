"""Node servers in processes of their own, each pinned to one core: what `bench_serving` drives."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

import uvicorn
import uvloop

from cluster.topology import Link, Node
from models.runtime import ModelRuntime, decode_image
from models.zoo.registry import find_model
from serving.ingress.http import HttpIngress
from serving.node.router import RouteTable, Target
from serving.node.server import NodeConfig, NodeServer

__all__ = ["MAX_BATCH", "MODEL", "TASK", "node", "one_hop", "two_hops"]

MODEL, TASK, MAX_BATCH, TOKEN = "rooms-small-segmentation", "segmentation", 32, "bench"
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """Where a server listens."""

    http: int
    peer: int


def node(name: str, tier: str) -> Node:
    """A node that refuses only what waits over 2 s, with a work-conserving executor."""
    return Node(name=name, tier=tier, memory=2**30, compute=1, window_s=1.0, max_batch=MAX_BATCH)


@contextmanager
def one_hop(core: int) -> Iterator[Ports]:
    """A client node that answers with its own model."""
    target = Target("client", "client", MODEL)
    with _running(node("client", "client"), target, None, core) as ports:
        yield ports


@contextmanager
def two_hops(core: int) -> Iterator[Ports]:
    """A client node that forwards every query to an edge node, both on `core`."""
    with _running(node("edge", "edge"), None, None, core) as edge:
        target = Target("edge", "edge", MODEL)
        with _running(node("client", "client"), target, edge.peer, core) as ports:
            yield ports


@contextmanager
def _running(what: Node, target: Target | None, above: int | None, core: int) -> Iterator[Ports]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(what, target, above, core, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("stop")
        process.join(timeout=10)
        process.kill()


def _serve(
    what: Node, target: Target | None, above: int | None, core: int, pipe: Connection
) -> None:
    os.sched_setaffinity(0, {core})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(what, target, above, pipe))


async def _main(what: Node, target: Target | None, above: int | None, pipe: Connection) -> None:
    card = find_model(MODEL)
    size = (card.preprocessing.height, card.preprocessing.width)

    async def find_peer() -> tuple[str, int]:
        assert above is not None
        return HOST, above

    link = above and Link(source="client", target="edge", bandwidth=10**12, rtt_s=0.0)
    config = NodeConfig(what, link or None, (TASK,), TOKEN, {}, HOST, max_waiting=4_096)
    server = NodeServer(
        config,
        lambda name: ModelRuntime.load(find_model(name), max_batch=MAX_BATCH),
        lambda _: (*size, 3),
        find_peer if above else None,
    )
    if target is None or target.node == what.name:
        await server.load((MODEL,))
    if target is not None:
        server.route(RouteTable(1, {TASK: ((target, 1.0),)}))
    listener = socket.create_server((HOST, 0), backlog=4_096)
    app = HttpIngress(server, lambda body: decode_image(body, card.preprocessing), size)
    web = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off"))
    serving = asyncio.ensure_future(web.serve(sockets=[listener]))
    pipe.send(Ports(listener.getsockname()[1], await server.start()))
    await asyncio.to_thread(pipe.recv)
    web.should_exit = True
    await serving
    server.close()
