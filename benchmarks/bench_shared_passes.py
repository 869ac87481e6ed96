"""What shared passes gain (F14): images/s when k tasks are asked of each image, with and without.

Run with `make bench-shared-passes`; writes out/bench/shared_passes.json and prints a table. Nodes
run in this process, callers on their loop: 32 of them, each with one request out. Both settings
are taken in turn within a repetition, and every ratio within one.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import uvloop
from pydantic import ByteSize

from cluster.provenance import collect_provenance
from cluster.topology import Link, Node, Tier
from models.benchmarks.rooms import Rooms
from models.runtime.model_runtime import ModelRuntime
from models.zoo.registry import find_model
from serving.node.config import NodeConfig
from serving.node.server import NodeServer
from serving.routing.routes import RouteTable, Target
from serving_process import HOST, MAX_BATCH, TOKEN
from serving_rows import median_row, print_rows, write_rows

MODEL, CALLERS = "rooms-small-all", 32
TASKS = find_model(MODEL).tasks
HOPS = {"local": Target("client", "client", MODEL), "edge": Target("edge", "edge", MODEL)}


@asynccontextmanager
async def hierarchy(hop: str, shared_passes: bool) -> AsyncIterator[NodeServer]:
    """A client node that answers by itself, or asks the edge above it."""
    card = find_model(MODEL)
    shape = (card.preprocessing.height, card.preprocessing.width, 3)

    def make(name: str, uplinks: tuple[Link, ...], port: int) -> NodeServer:
        async def find_peer(_: str) -> tuple[str, int]:
            return HOST, port

        config = NodeConfig(
            _node(name), uplinks, TASKS, TOKEN, max_waiting=4096, shared_passes=shared_passes
        )
        return NodeServer(
            config,
            lambda model: ModelRuntime.load(find_model(model), max_batch=MAX_BATCH),
            lambda _: shape,
            find_peer,
        )

    edge = make("edge", (), 0)
    link = Link(source="client", target="edge", bandwidth=ByteSize(10**12))
    client = make("client", (link,), await edge.start())
    await (client if hop == "local" else edge).load((MODEL,))
    client.route(RouteTable(1, dict.fromkeys(TASKS, ((HOPS[hop], 1.0),))))
    try:
        yield client
    finally:
        client.close()
        edge.close()


def _node(name: str) -> Node:
    """Promises so little that nothing is refused."""
    return Node(
        name=name, tier=Tier(name), memory=ByteSize(2**30), compute=1, window_s=10,
        max_batch=MAX_BATCH,
    )  # fmt: skip


async def images_per_s(
    hop: str, shared_passes: bool, tasks: tuple[str, ...], images: np.ndarray, seconds: float
) -> tuple[float, float]:
    """(images/s that had all their tasks answered, bytes that an image sent up)."""
    async with hierarchy(hop, shared_passes) as client:

        async def keep_asking(number: int, end_s: float) -> int:
            answered = 0
            while time.perf_counter() < end_s:
                await client.answer_all(tasks, images[number % len(images)])
                answered += 1
            return answered

        async def measure(for_s: float) -> tuple[int, float]:
            begun_s = time.perf_counter()
            asked = (keep_asking(number, begun_s + for_s) for number in range(CALLERS))
            answered = sum(await asyncio.gather(*asked))
            return answered, answered / (time.perf_counter() - begun_s)

        await measure(0.3)
        sent_bytes = client.snapshot().sent_bytes
        answered, rate = await measure(seconds)
        return rate, (client.snapshot().sent_bytes - sent_bytes) / answered


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/bench/shared_passes.json"))
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    rooms = Rooms("test")
    images = np.stack([rooms.sample(index).image for index in range(CALLERS)])
    found: dict[tuple[str, str, str], list[float]] = {}
    for repetition in range(options.repetitions):
        for hop in HOPS:
            for count in (1, 2, len(TASKS)):
                what = (hop, TASKS[:count])
                rates = []
                for shared in (True, False):
                    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                        rate, size = runner.run(
                            images_per_s(what[0], shared, what[1], images, options.seconds)
                        )
                    identity = f"F14.{hop}.k{count}" + ("" if shared else ".alone")
                    passes = "one pass" if shared else "a pass each"
                    meaning = f"tasks asked of an image: {count}, {passes}"
                    found.setdefault((identity, meaning, "images/s"), []).append(rate)
                    if hop == "edge":
                        row = (f"{identity}.bytes", "sent up, per image", "bytes")
                        found.setdefault(row, []).append(size)
                    rates.append(rate)
                row = (f"F14.{hop}.k{count}.gain", "one pass / a pass each", "ratio")
                found.setdefault(row, []).append(rates[0] / rates[1])
        print(f"repetition {repetition + 1} of {options.repetitions}", flush=True)
    rows = [median_row(*about, values) for about, values in found.items()]
    provenance = collect_provenance("make bench-shared-passes", packages=("torch",))
    write_rows(options.out, provenance, rows)
    print_rows(rows)


if __name__ == "__main__":
    main()
