"""How closely a link follows a recorded capacity: bytes that arrive in each second ÷ what it says.

    python benchmarks/link_trace_followed.py TRACE [--name NAME] [--seconds 60] [--scale 1]

Two processes and a socket between them: this one has the uplink and the pacer of a node and always
something to send, the other one the door for the tier below, and notes when bytes arrive. Nothing
else is shaped on the way. Prints one JSON object. `bench_cluster.py --rows K5
--link-trace CSV` does it for every trace of a file.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import multiprocessing
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from cluster.link import LinkTraceFile
from cluster.link_trace import LinkTrace
from serving.errors import RefusalReason, RefusedError
from serving.node.device.served import Image, Served
from serving.node.links.link_capacity import TracedCapacity
from serving.node.links.messages import AskOutcome, AskReply
from serving.node.links.pacer import LinkPacer
from serving.node.links.peer_connection import PeerConnection
from serving.node.links.peer_server import PeerServer
from serving.node.links.uplink import QUERY_OVERHEAD_BYTES, Uplink
from serving.routing.routes import Ask, Target
from serving_rows import median_row

__all__ = ["Followed", "compare_seconds", "follow", "trace_rows"]

TOKEN = "a token of this measurement alone"
ASK = Ask(Target("edge", "edge", "none"), ("none",))
BACKLOG_S = 0.4
"""a window of the demo: what a node lets wait"""
FEWEST_MESSAGES = 4
"""that a second's capacity must hold for its ratio to count: less is a matter of whole messages"""
KINDS = {"bulk": 4_000, "queries": 27_000}
"""bytes of a message"""


@dataclass(frozen=True)
class Followed:
    """What arrived beside what could, second by second."""

    message_bytes: int
    seconds: int
    counted_seconds: int
    """those in which the link could carry `FEWEST_MESSAGES` or more"""
    mean_absolute_error: float
    """of bytes that arrived ÷ capacity, over the seconds that count; row K5"""
    pooled_error: float
    """sum of the absolute differences ÷ sum of the capacity, over all seconds"""
    total_ratio: float
    """all bytes that arrived ÷ all capacity"""


def compare_seconds(
    arrived: Iterable[tuple[float, int]],
    capacity: TracedCapacity,
    begun_s: float,
    seconds: int,
    message_bytes: int,
) -> Followed:
    """`arrived` has (time, bytes) of each message, on the clock of the link, which began to send
    at `begun_s`."""
    times_s, sizes = np.array(list(arrived)).reshape(-1, 2).T
    edges_s = begun_s + np.arange(seconds + 1.0)
    arrived_k, _ = np.histogram(times_s, bins=edges_s, weights=sizes)
    could_k = np.array(
        [capacity.carried_bytes(edge_s, edge_s + 1.0) for edge_s in edges_s[:-1].tolist()]
    )
    counted_k = could_k >= FEWEST_MESSAGES * message_bytes
    ratios = arrived_k[counted_k] / could_k[counted_k]
    return Followed(
        message_bytes=message_bytes,
        seconds=seconds,
        counted_seconds=int(counted_k.sum()),
        mean_absolute_error=float(np.abs(ratios - 1.0).mean()) if ratios.size else float("nan"),
        pooled_error=float(np.abs(arrived_k - could_k).sum() / could_k.sum()),
        total_ratio=float(arrived_k.sum() / could_k.sum()),
    )


def follow(trace: LinkTrace, seconds: int, message_bytes: int, shift_s: float = 0.0) -> Followed:
    """Send for so many seconds over a link that carries what `trace` recorded."""
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    receiver = spawning.Process(target=_receive, args=(theirs,), daemon=True)
    receiver.start()
    try:
        port = ours.recv()
        capacity, begun_s = asyncio.run(_send(port, trace, seconds, message_bytes, shift_s))
        ours.send("end")
        arrived = ours.recv()
    finally:
        receiver.join(5.0)
        receiver.kill()
    return compare_seconds(arrived, capacity, begun_s, seconds, message_bytes)


async def _send(
    port: int, trace: LinkTrace, seconds: int, message_bytes: int, shift_s: float
) -> tuple[TracedCapacity, float]:
    async def find_peer() -> tuple[str, int]:
        return "127.0.0.1", port

    image: Image = np.zeros((message_bytes - QUERY_OVERHEAD_BYTES, 1, 1), np.uint8)
    connection = PeerConnection(find_peer, TOKEN)
    connection.prepare()
    await asyncio.sleep(1.0)  # until it is made, so that the first second has all of its time
    begun_s = time.monotonic()
    capacity = TracedCapacity(trace, begun_s, shift_s)
    uplink = Uplink(LinkPacer(capacity, 0.0, BACKLOG_S), connection)
    sending: set[asyncio.Task[list[AskOutcome]]] = set()
    while time.monotonic() < begun_s + seconds:
        if (
            uplink.pacer.free_at_s - time.monotonic() > BACKLOG_S / 2
            or uplink.room((ASK,)) is not None
        ):
            await asyncio.sleep(0.005)
            continue
        task = asyncio.ensure_future(uplink.call((ASK,), image))
        sending.add(task)
        task.add_done_callback(sending.discard)
        await asyncio.sleep(0)  # until it has its turn
    for task in list(sending):
        task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*sending, return_exceptions=True)
    uplink.close()
    return capacity, begun_s


def _receive(pipe: Connection) -> None:
    asyncio.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    arrived: list[tuple[float, int]] = []
    answer = {"none": Served(np.zeros(1, np.uint8), 1, 0.0, 0.0, 0.0)}

    async def take(
        asks: tuple[Ask, ...], image: Image, _remaining_s: float | None
    ) -> list[AskOutcome]:
        arrived.append((time.monotonic(), image.nbytes + QUERY_OVERHEAD_BYTES))
        if not asks:
            raise RefusedError(RefusalReason.NOT_SERVED)
        return [AskReply(ask.target, answer, 0.0) for ask in asks]

    server = PeerServer(take, TOKEN)
    pipe.send(await server.start("127.0.0.1"))
    await asyncio.to_thread(pipe.recv)
    server.close()
    pipe.send(arrived)


def trace_rows(path: Path, seconds: int = 60, seed: int = 1) -> list[dict[str, Any]]:
    """K5: all traces of a CSV, each from where `seed` has it begin, with messages of each size."""
    with path.open(newline="") as stream:
        names = sorted({row["trace"] for row in csv.DictReader(stream)})
    apart: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for name in names:
        file = LinkTraceFile(file=str(path), name=name, seed=seed)
        for kind, size in KINDS.items():
            found = follow(file.recorded, seconds, size, file.shift_s)
            print(f"{name}, {kind}: {found.mean_absolute_error:.2%} off", flush=True)
            apart[kind].append(found.mean_absolute_error)
    what = f"bytes delivered in each of {seconds} s ÷ recorded capacity, mean absolute error"
    every = [error for errors in apart.values() for error in errors]
    return [
        median_row("K5", f"{what}, {len(names)} traces of {path.name}", "", every),
        *(median_row(f"K5.{kind}", f"{what}: messages of {size / 1e3:g} KB", "", apart[kind])
          for kind, size in KINDS.items()),
    ]  # fmt: skip


def main() -> None:
    """Measure with small messages and with those of the demo's queries."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("trace", type=Path)
    parser.add_argument("--name", default=None, help="of a trace in a CSV that has several")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--scale", type=float, default=1.0, help="times the recorded capacity")
    parser.add_argument("--seed", type=int, default=None, help="draws where the trace begins")
    given = parser.parse_args()
    file = LinkTraceFile(file=str(given.trace), name=given.name, scale=given.scale, seed=given.seed)
    found = {
        kind: asdict(follow(file.recorded, given.seconds, size, file.shift_s))
        for kind, size in KINDS.items()
    }
    mean = file.recorded.mean_bytes_per_s
    print(json.dumps({"trace": str(given.trace), "mean_bytes_per_s": mean, **found}, indent=1))


if __name__ == "__main__":
    main()
