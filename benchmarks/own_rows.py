"""What the serving benchmark measures without a server: the bare model, the executor, the costs."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from cluster.demand import Phase
from cluster.topology import Tier
from generator_floor import Floor, measure_floor
from models.runtime.cpu_engine import CpuEngine, Serving, make_trace
from models.runtime.model_runtime import ModelRuntime
from models.zoo.assembly import load_network
from models.zoo.registry import find_model
from oip_door import tensor_request
from serving.http.exchange import Exchange, Head
from serving.ingress.door import Door
from serving.ingress.http_api import HttpApi
from serving.metrics.node_metrics import NodeMetrics
from serving.node.config import NodeConfig
from serving.node.device.batching import make_batcher
from serving.node.device.executor import Executor
from serving.node.server import NodeServer
from serving.routing.routes import RouteTable, Target
from serving.traffic.schedule import build_schedule
from serving_process import MAX_BATCH, MODEL, TASK, Way, node
from stolen import undisturbed
from uvicorn_door import AsgiDoor, received, scope_of

__all__ = [
    "bare_qps",
    "busy_neighbour",
    "executor_to_bare",
    "export_frozen",
    "generator_floor",
    "mean_beside",
    "protocol_cost_s",
]


def bare_qps(runtime: ModelRuntime, images: np.ndarray, seconds: float) -> float:
    """S0: images per second of the model alone, in batches of `MAX_BATCH`."""
    runtime.run(images[:MAX_BATCH])
    begun_s, done = time.perf_counter(), 0
    while time.perf_counter() - begun_s < seconds:
        runtime.run(images[:MAX_BATCH])
        done += MAX_BATCH
    return done / (time.perf_counter() - begun_s)


@contextmanager
def busy_neighbour(core: int) -> Iterator[None]:
    """A process that computes without end on `core`."""
    spinning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        os.sched_setaffinity(spinning.pid, {core})
        yield
    finally:
        spinning.kill()
        spinning.wait()


async def executor_to_bare(images: np.ndarray, callers: int, seconds: float, slices: int) -> float:
    """S1: callers on the executor's own loop, each with one query out, over the bare model.

    To be run in a process that is set up as a node's.
    """
    what = node("client", Tier.CLIENT)
    bare = ModelRuntime.load(find_model(MODEL), max_batch=MAX_BATCH)
    executor = Executor(
        make_batcher(what.batching, what.window_s, what.max_batch),
        lambda name: ModelRuntime.load(find_model(name), max_batch=MAX_BATCH),
    )
    await executor.load(MODEL)

    async def keep_asking(number: int, end_s: float) -> int:
        answered = 0
        while time.perf_counter() < end_s:
            await executor.submit_all(MODEL, (TASK,), images[number % len(images)])
            answered += 1
        return answered

    async def measure(for_s: float) -> float:
        begun_s = time.perf_counter()
        asked = (keep_asking(number, begun_s + for_s) for number in range(callers))
        return sum(await asyncio.gather(*asked)) / (time.perf_counter() - begun_s)

    async def alone() -> float:
        return bare_qps(bare, images, seconds / slices / 2)

    await measure(0.3)
    found, asked = [(await undisturbed(alone))[0]], []
    for _ in range(slices):
        asked.append((await undisturbed(lambda: measure(seconds / slices)))[0])
        found.append((await undisturbed(alone))[0])
    executor.close()
    return statistics.mean(asked) / mean_beside(found)


def mean_beside(found: Sequence[float]) -> float:
    """The mean of what was found before, between and after slices of something else."""
    return statistics.mean((before + after) / 2 for before, after in pairwise(found))


class Echo:
    """A device that takes no time: what is left is router and protocol."""

    weights_bytes = 4

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """The red channel."""
        return {TASK: batch[..., 0]}

    def close(self) -> None:
        """Nothing is held."""


async def protocol_cost_s(
    images: np.ndarray, way: Way = "own", bursts: int = 8, size: int = 64
) -> float:
    """S10: CPU seconds a query spends in the HTTP application, router, executor and metrics.

    No socket, and no parsing of HTTP. Many at once, as under load, so that the hand-over to the
    device is shared. By way of "uvicorn" the application is called as ASGI.
    """
    what = node("client", Tier.CLIENT)
    shape = images.shape[1:]
    server = NodeServer(
        NodeConfig(what, (), (TASK,), "t"), lambda _: Echo(), lambda _: shape,
        observer=NodeMetrics(what),
    )  # fmt: skip
    await server.load((MODEL,))
    server.route(RouteTable(1, {TASK: ((Target("client", "client", MODEL), 1.0),)}))
    app = HttpApi(Door(server, shape[:2]), lambda body, header: images[0])
    body, headers = tensor_request(images[0])
    head = Head(
        "POST", f"/v2/models/{TASK}/infer", b"",
        {key.encode(): value.encode() for key, value in headers.items()},
    )  # fmt: skip

    begin = app.read(head)
    asgi = AsgiDoor(app)

    async def exchange() -> int:
        begun = begin()
        return (await begun.answer(body) if isinstance(begun, Exchange) else begun).status

    async def exchange_by_asgi() -> int:
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await asgi(scope_of(head), received(body), send)
        return int(sent[0]["status"])

    ask = exchange if way == "own" else exchange_by_asgi
    statuses: Counter[int] = Counter()

    async def burst() -> float:
        begun_s = time.process_time()
        statuses.update(await asyncio.gather(*(ask() for _ in range(size))))
        return (time.process_time() - begun_s) / size

    await burst()
    cost_s = statistics.median([await burst() for _ in range(bursts)])
    server.close()
    if statuses.keys() != {200}:
        raise RuntimeError(f"the door answered with {dict(statuses)}")
    return cost_s


async def generator_floor(rate_qps: float, seconds: float) -> Floor:
    """S9: the load generator against a system that answers at once."""
    phase = Phase(duration_s=seconds, rates_qps={"c": {TASK: rate_qps}})
    return await measure_floor(build_schedule([phase], 1, 1), [b""], duration_s=seconds)


def export_frozen(path: Path) -> None:
    """Write the trace that our engine runs, for the peers, and its images' shape beside it."""
    card = find_model(MODEL)
    serving = Serving(load_network(card, None), card.tasks, card.preprocessing)
    path.parent.mkdir(parents=True, exist_ok=True)
    CpuEngine(make_trace(serving), 1, [1]).save(path)
    path.with_suffix(".json").write_text(json.dumps(serving.shape))
