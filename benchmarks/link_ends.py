"""The two ends of one link in namespaces, each a process of its own: what K3 measures.

    python link_ends.py take HOST            prints the port, then counts what a stream brings
    python link_ends.py give HOST PORT       sends as fast as the kernel takes it
    python link_ends.py answer HOST          a node's own door to the tier below; prints the port
    python link_ends.py ask HOST PORT RATE   a node's own uplink of RATE bytes a second, kept full

`take` and `ask` print bytes a second, as those of a topology count: of `ask` the queries that were
answered, each with its frame. What came in the first seconds is left out.
"""

from __future__ import annotations

import asyncio
import math
import socket
import sys
import time

import numpy as np

from serving.errors import RefusedError
from serving.node.device.served import Image, Served
from serving.node.links.link_capacity import SteadyCapacity
from serving.node.links.messages import AskOutcome, AskReply
from serving.node.links.pacer import LinkPacer
from serving.node.links.peer_connection import PeerConnection
from serving.node.links.peer_server import PeerServer
from serving.node.links.uplink import QUERY_OVERHEAD_BYTES, Uplink
from serving.routing.routes import Ask, Target

SECONDS = 10.0
WARM_UP_S = 2.0
CHUNK = bytes(2**16)
IMAGE_SIDE = 96
TOKEN = "bench"
BACKLOG_S = 0.4
"""of a node with the demo's window"""
IN_FLIGHT = 64


def take(host: str) -> None:
    """Count what arrives."""
    with socket.create_server((host, 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        stream, _ = listener.accept()
        begun_s = time.monotonic()
        counted, since_s, last_s = 0, begun_s, math.inf
        while data := stream.recv(2**18):
            now_s = time.monotonic()
            if now_s - begun_s < WARM_UP_S:
                since_s = now_s
            else:
                counted += len(data)
                last_s = now_s
        print(counted / (last_s - since_s), flush=True)


def give(host: str, port: int) -> None:
    """Send for some seconds."""
    with socket.create_connection((host, port)) as stream:
        until_s = time.monotonic() + SECONDS
        while time.monotonic() < until_s:
            stream.sendall(CHUNK)


async def answer(host: str) -> None:
    """Answer every query at once, with as much as a class takes."""

    async def serve(asks: tuple[Ask, ...], _: Image, __: float | None) -> list[AskOutcome]:
        served = Served(np.zeros(1, dtype=np.uint8), 1, 0.0, 0.0, 0.0)
        return [AskReply(ask.target, dict.fromkeys(ask.tasks, served), 0.0) for ask in asks]

    print(await PeerServer(serve, TOKEN).start(host), flush=True)
    await asyncio.Event().wait()


async def ask(host: str, port: int, rate: float) -> None:
    """Keep the uplink as full as its budget lets it be."""

    async def find() -> tuple[str, int]:
        return host, port

    transport = PeerConnection(find, TOKEN)
    pacer = LinkPacer(SteadyCapacity(rate), 0.0, BACKLOG_S)
    uplink = Uplink(pacer, transport, wire_bytes_per_s=rate)
    image = np.random.default_rng(1).integers(0, 255, (IMAGE_SIDE, IMAGE_SIDE, 3), dtype=np.uint8)
    wanted = (Ask(Target("edge", "edge", "model"), ("depth",)),)
    size = image.nbytes + QUERY_OVERHEAD_BYTES
    begun_s = time.monotonic()
    answered_s: list[float] = []

    async def keep_asking() -> None:
        while time.monotonic() - begun_s < SECONDS:
            try:
                await uplink.call(wanted, image)
                answered_s.append(time.monotonic())
            except RefusedError as refusal:
                await asyncio.sleep(min(0.05, max(0.001, refusal.retry_after_s or 0.0)))

    await asyncio.gather(*(keep_asking() for _ in range(IN_FLIGHT)))
    late = [each for each in answered_s if each - begun_s >= WARM_UP_S]
    print((len(late) - 1) * size / (late[-1] - late[0]), flush=True)
    uplink.close()


def main() -> None:
    """One end."""
    what, host, *more = sys.argv[1:]
    if what == "take":
        take(host)
    elif what == "give":
        give(host, int(more[0]))
    elif what == "answer":
        asyncio.run(answer(host))
    else:
        asyncio.run(ask(host, int(more[0]), float(more[1])))


if __name__ == "__main__":
    main()
