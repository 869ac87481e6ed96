"""Our own node servers in processes of their own, each pinned to one core."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, TypeVar

import uvloop
from pydantic import ByteSize

from cluster.topology import Link, Node, Tier, Topology
from models.runtime.allocator import ENVIRONMENT
from models.runtime.model_runtime import ModelRuntime, decode_image
from models.zoo.registry import find_model
from serving.ingress.http_api import Page
from serving.ingress.image_decoding import Decode
from serving.ingress.listen import open_doors
from serving.metrics.node_metrics import NodeMetrics, Reading
from serving.node.config import NodeConfig
from serving.node.device.process_tuning import freeze_heap, schedule_as_batch, take_short_turns
from serving.node.server import NodeServer
from serving.routing.routes import RouteTable, Target
from serving.tracing.active import Tracing
from serving.tracing.config import TracingConfig
from uvicorn_door import Close, open_uvicorn_door

__all__ = [
    "MAX_BATCH",
    "MODEL",
    "TASK",
    "Traced",
    "Way",
    "in_node_process",
    "node",
    "one_hop",
    "two_hops",
    "windows",
]

MODEL, TASK, MAX_BATCH = "domains-middle-all", "real", 32
PATIENT_WINDOW_S = 1.0
"""T_b of nodes that are asked how fast they are, and should refuse nobody"""
HOST, TOKEN = "127.0.0.1", "bench"
Way = Literal["own", "uvicorn"]
"""what serves HTTP before the same application"""
T = TypeVar("T")


@dataclass(frozen=True)
class Traced:
    """Whether a server could make spans, and of what part of its queries it does."""

    installed: bool
    """else its process does as if the extra `tracing` were not there"""
    share: float | None = None
    """None for no tracing"""
    folder: str = ""
    """of its spans"""


@dataclass(frozen=True)
class _Role:
    """One node's part: what it is, its link up, and where its queries go (client nodes)."""

    node: Node
    core: int | None
    uplink: Link | None = None
    peer_port: int | None = None
    target: Target | None = None
    way: Way = "own"
    traced: Traced | None = None


def node(name: str, tier: Tier, window_s: float = PATIENT_WINDOW_S) -> Node:
    """A node with a work-conserving executor."""
    return Node(
        name=name, tier=tier, memory=ByteSize(2**30), compute=1, window_s=window_s,
        max_batch=MAX_BATCH,
    )  # fmt: skip


@contextmanager
def one_hop(
    core: int | None,
    window_s: float = PATIENT_WINDOW_S,
    way: Way = "own",
    traced: Traced | None = None,
) -> Iterator[int]:
    """A client node that answers with its own model; gives its HTTP port."""
    client = node("client", Tier.CLIENT, window_s)
    with _running(_Role(client, core, target=_at("client"), way=way, traced=traced)) as (port, _):
        yield port


@contextmanager
def two_hops(core: int | None) -> Iterator[int]:
    """A client node that forwards every query to an edge node, both on `core`."""
    link = Link(source="client", target="edge", bandwidth=ByteSize(10**12))
    client, edge = node("client", Tier.CLIENT), node("edge", Tier.EDGE)
    with _hierarchy(client, edge, link, core, core) as port:
        yield port


@contextmanager
def windows(shape: Topology, core: int | None, client_core: int | None) -> Iterator[int]:
    """The edge of `shape` on `core`, which answers everything, and its client on another."""
    client, edge, link = shape.clients[0], shape.edges[0], shape.links[0]
    with _hierarchy(client, edge, link, core, client_core) as port:
        yield port


@contextmanager
def _hierarchy(
    client: Node, edge: Node, link: Link, core: int | None, client_core: int | None
) -> Iterator[int]:
    with _running(_Role(edge, core)) as (_, peer_port):
        role = _Role(client, client_core, link, peer_port, _at("edge"))
        with _running(role) as (port, _):
            yield port


def _at(name: str) -> Target:
    return Target(name, name, MODEL)


@contextmanager
def _running(role: _Role) -> Iterator[tuple[int, int]]:
    """Start a node; gives its HTTP port (0: no door) and its peer port."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(role, theirs), daemon=True)
    with _environment(ENVIRONMENT):
        process.start()
    theirs.close()  # so that a server that dies ends the wait below
    try:
        yield ours.recv()
    except EOFError:
        raise RuntimeError(f"the server of node {role.node.name!r} died; see above") from None
    finally:
        ours.close()  # which tells it to stop
        process.join(timeout=10)
        process.kill()


def in_node_process(core: int | None, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in a process that is set up as a node's, on `core`. `main` is pickled."""
    with _environment(ENVIRONMENT), ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_run_as_node, core, main).result()


def _run_as_node(core: int | None, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    if core is not None:
        os.sched_setaffinity(0, {core})
    freeze_heap()
    take_short_turns()
    schedule_as_batch()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """What a process that is started meanwhile inherits, as a replica does from Ray."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(role: _Role, pipe: Connection) -> None:
    _run_as_node(role.core, lambda: _main(role, pipe))


def _tracing(traced: Traced | None, name: str) -> Tracing | None:
    if traced is None:
        return None
    if not traced.installed:
        sys.modules["opentelemetry"] = None  # type: ignore[assignment]  # importing it fails
        with suppress(ImportError):
            import_module("opentelemetry.sdk.trace")
            raise RuntimeError("OpenTelemetry was to be as if it were not installed")
    if traced.share is None:
        return None
    from serving.tracing.exporters import open_tracing

    return open_tracing(TracingConfig(traced.share), name, Path(traced.folder))


async def _main(role: _Role, pipe: Connection) -> None:
    tracing = _tracing(role.traced, role.node.name)
    card = find_model(MODEL)
    size = (card.preprocessing.height, card.preprocessing.width)

    async def find_peer(_: str) -> tuple[str, int]:
        assert role.peer_port is not None
        return HOST, role.peer_port

    uplinks = (role.uplink,) if role.uplink else ()
    config = NodeConfig(role.node, uplinks, (TASK,), TOKEN, max_waiting=4_096)
    metrics = NodeMetrics(role.node)
    server = NodeServer(
        config,
        lambda name: ModelRuntime.load(find_model(name), max_batch=MAX_BATCH),
        lambda _: (*size, 3),
        find_peer,
        observer=metrics,
        tracing=tracing,
    )
    metrics.watch(lambda: Reading({}, {}, 0, server.snapshot().busy_s))
    if role.target is None or role.target.node == role.node.name:
        await server.load((MODEL,))
    peer_port = await server.start()
    http_port = 0
    close: Close = _nothing
    if role.target is not None:
        server.route(RouteTable(1, {TASK: ((role.target, 1.0),)}))
        pages = {"/metrics": metrics.page}
        open_door = open_uvicorn_door if role.way == "uvicorn" else open_own_door
        http_port, close = await open_door(
            server, lambda body, header: decode_image(body, card.preprocessing, header), size, pages
        )
    pipe.send((http_port, peer_port))
    with suppress(EOFError):  # the benchmark's end of the pipe is closed when its turn is over
        await asyncio.to_thread(pipe.recv)
    await close()
    server.close()


async def open_own_door(
    server: NodeServer, decode: Decode, size: tuple[int, int], pages: Mapping[str, Page]
) -> tuple[int, Close]:
    """The doors that a node opens: the port of the one for HTTP, and what closes both."""
    doors = await open_doors(server, decode, size, pages=pages)
    return doors.http_port, doors.close


async def _nothing() -> None:
    """Nothing is open."""
