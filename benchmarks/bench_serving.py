"""Serving benchmark: rows S1.., written to out/bench/serving.json and printed as a table.

Run with `make bench-serving`. Servers run pinned to one core and the load generator to another;
all rows are taken in turn within one run, `--repetitions` times, and every ratio is taken within
a repetition. "bare" is the same model in a plain loop at the same batch cap, on the servers' core.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import uvloop
from serving_process import MAX_BATCH, MODEL, TASK, node, one_hop, two_hops

from cluster.demand import Phase
from cluster.provenance import collect_provenance
from models.benchmarks.rooms import Rooms
from models.runtime import ModelRuntime
from models.zoo.registry import find_model
from serving.ingress.http import HttpIngress
from serving.node.batching import make_batcher
from serving.node.executor import Executor
from serving.node.router import RouteTable, Target
from serving.node.server import NodeConfig, NodeServer
from serving.traffic.driver import measure_floor
from serving.traffic.schedule import build_schedule

CALLERS = 64
SERVER_CORE, GENERATOR_CORE = 0, 1


def images(count: int = 64) -> np.ndarray:
    """Real inputs, (n, h, w, 3) uint8."""
    rooms = Rooms("test")
    return np.stack([rooms.sample(index).image for index in range(count)])


def bare_qps(runtime: ModelRuntime, inputs: np.ndarray, seconds: float) -> float:
    """Images per second of the model alone, in batches of `MAX_BATCH`."""
    begun_s, done = time.perf_counter(), 0
    while time.perf_counter() - begun_s < seconds:
        runtime.run(inputs[:MAX_BATCH])
        done += MAX_BATCH
    return done / (time.perf_counter() - begun_s)


async def closed_loop(ask: Any, seconds: float) -> tuple[float, np.ndarray]:
    """Queries per second and latencies (s) of `CALLERS` callers, each with one query out."""
    latencies_s: list[float] = []
    end_s = time.perf_counter() + seconds

    async def caller(number: int) -> None:
        while (sent_s := time.perf_counter()) < end_s:
            await ask(number)
            latencies_s.append(time.perf_counter() - sent_s)

    begun_s = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    return len(latencies_s) / (time.perf_counter() - begun_s), np.array(latencies_s)


async def in_process(inputs: np.ndarray, seconds: float) -> float:
    """S1: callers on the executor's own loop."""
    what = node("client", "client")
    executor = Executor(
        make_batcher(what.batching, what.window_s, what.max_batch),
        lambda name: ModelRuntime.load(find_model(name), max_batch=MAX_BATCH),
    )
    await executor.load(MODEL)

    async def ask(number: int) -> None:
        await executor.submit(MODEL, TASK, inputs[number % len(inputs)])

    await closed_loop(ask, 0.3)
    qps, _ = await closed_loop(ask, seconds)
    executor.close()
    return qps


def tensor_body(image: np.ndarray) -> tuple[bytes, dict[str, str]]:
    """An Open Inference Protocol request with raw tensors, and its headers."""
    raw = image.tobytes()
    header = json.dumps(
        {
            "inputs": [
                {
                    "name": "image", "datatype": "UINT8", "shape": list(image.shape),
                    "parameters": {"binary_data_size": len(raw)},
                }
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()  # fmt: skip
    return header + raw, {
        "inference-header-content-length": str(len(header)),
        "content-type": "application/octet-stream",
    }


async def over_http(port: int, inputs: np.ndarray, seconds: float) -> tuple[float, np.ndarray]:
    """Binary tensors to a door on `port`."""
    url = f"http://127.0.0.1:{port}/v2/models/{TASK}/infer"
    bodies = [tensor_body(image) for image in inputs]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(number: int) -> None:
            body, headers = bodies[number % len(bodies)]
            async with session.post(url, data=body, headers=headers) as response:
                await response.read()
                assert response.status == 200

        await closed_loop(ask, 0.3)
        return await closed_loop(ask, seconds)


class Echo:
    """A device that takes no time: what is left is router and protocol."""

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """The red channel."""
        return {TASK: batch[..., 0]}

    def close(self) -> None:
        """Nothing is held."""


async def protocol_cost_s(inputs: np.ndarray, count: int = 400) -> float:
    """S10: seconds a query spends in the ASGI application, router and executor, no socket."""
    what = node("client", "client")
    shape = inputs.shape[1:]
    server = NodeServer(NodeConfig(what, None, (TASK,), "t"), lambda _: Echo(), lambda _: shape)
    await server.load((MODEL,))
    server.route(RouteTable(1, {TASK: ((Target("client", "client", MODEL), 1.0),)}))
    app = HttpIngress(server, lambda body: inputs[0], shape[:2])
    body, headers = tensor_body(inputs[0])
    scope = {
        "type": "http", "method": "POST", "path": f"/v2/models/{TASK}/infer",
        "headers": [(key.encode(), value.encode()) for key, value in headers.items()],
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200

    # Many at once, as under load, so that the hand-over to the device thread is shared.
    async def burst(size: int) -> float:
        begun_s = time.process_time()
        await asyncio.gather(*(app(dict(scope), receive, send) for _ in range(size)))
        return (time.process_time() - begun_s) / size

    await burst(64)
    cost_s = statistics.median([await burst(64) for _ in range(count // 64 + 1)])
    server.close()
    return cost_s


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/bench/serving.json"))
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    found: dict[str, list[float]] = {}
    inputs = images()

    def note(identity: str, value: float) -> None:
        found.setdefault(identity, []).append(value)

    runtime = ModelRuntime.load(find_model(MODEL), max_batch=MAX_BATCH)
    with one_hop(SERVER_CORE) as single, two_hops(SERVER_CORE) as double:
        for repetition in range(options.repetitions):
            os.sched_setaffinity(0, {SERVER_CORE})
            bare = bare_qps(runtime, inputs, options.seconds)
            note("S0.bare", bare)
            note("S1", run(in_process(inputs, options.seconds)) / bare)
            note("S10", 1e3 * run(protocol_cost_s(inputs)))
            os.sched_setaffinity(0, {GENERATOR_CORE})
            for identity, ports in (("S2", single), ("S3", double)):
                qps, latency_s = run(over_http(ports.http, inputs, options.seconds))
                note(identity, qps / bare)
                note(f"{identity}.p50", 1e3 * float(np.median(latency_s)))
                note(f"{identity}.p99", 1e3 * float(np.quantile(latency_s, 0.99)))
            print(f"repetition {repetition + 1} of {options.repetitions}", flush=True)
    phase = Phase(duration_s=5, rates_qps={"c": {TASK: 200.0}})
    floor = run(measure_floor(build_schedule([phase], 1, 1), [b""], duration_s=5))
    note("S9.p50", 1e3 * floor.lateness_p50_s)
    note("S9.p99", 1e3 * floor.lateness_p99_s)
    write(options.out, found)


WHAT = {
    "S0.bare": ("the model in a plain loop, batches of 32", "queries/s"),
    "S1": ("in-process executor / bare, 64 callers", "ratio"),
    "S2": ("HTTP one hop / bare, binary tensors, 64 callers", "ratio"),
    "S2.p50": ("latency there", "ms"),
    "S2.p99": ("latency there", "ms"),
    "S3": ("client -> edge / bare, both nodes on one core", "ratio"),
    "S3.p50": ("latency there", "ms"),
    "S3.p99": ("latency there", "ms"),
    "S9.p50": ("load generator's lateness at 200 queries/s, null system", "ms"),
    "S9.p99": ("load generator's lateness at 200 queries/s, null system", "ms"),
    "S10": ("router and protocol, CPU time a query in bursts of 64", "ms"),
}


def run(main_: Any) -> Any:
    """Run a coroutine on the loop that replicas use."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main_)


def write(path: Path, found: dict[str, list[float]]) -> None:
    """The JSON that is committed as benchmarks/results/serving.json, and a table."""
    rows = [
        {
            "id": identity, "what": WHAT[identity][0], "value": statistics.median(values),
            "unit": WHAT[identity][1], "n": len(values), "spread": [min(values), max(values)],
        }
        for identity, values in found.items()
    ]  # fmt: skip
    provenance = collect_provenance("make bench-serving", packages=("torch", "uvicorn", "aiohttp"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"provenance": provenance.model_dump(), "rows": rows}, indent=1))
    for row in rows:
        low, high = row["spread"]
        print(
            f"{row['id']:8} {row['value']:10.4g} {row['unit']:10} n={row['n']} "
            f"[{low:.4g}, {high:.4g}]  {row['what']}"
        )


if __name__ == "__main__":
    main()
