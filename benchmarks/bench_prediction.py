"""What is predicted beside what comes of it: rows T1 to T5, T9, T10 in out/bench/prediction.json.

Run with `make bench-prediction`. With `--live own` or `--live emulated` the predictions of plan and
simulator are judged on a cluster (`prediction_rows.py`), with `--simulated` T6 and T7 are measured
(`simulated_predictions.py`). Without them, T9: whether an emulated device
takes the time of its profile. A node in a process of its own emulates a device four times slower
than this machine, on which the model was profiled just before. Queries arrive at random, at half of
what the device can do. What a query saw of its batch is the time from the batch's start to the
answer on the node's event loop; divided by the profile for the batch's size it should be 1. Then
the same while another process computes without end on one core.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import ByteSize

from cluster.devices import EmulatedDevice, SlowerThanHere
from cluster.provenance import collect_provenance
from cluster.topology import Node, Tier
from demo_hierarchy import DEVICES, load_setting, newest_profiles
from models.runtime.model_runtime import ModelRuntime
from models.zoo.registry import find_model
from own_rows import busy_neighbour
from prediction_rows import PARTS, prediction_rows
from profiling.device_ratio import stated_ratio
from profiling.emulation import emulate
from profiling.measure import measure_model, profile_of
from profiling.profile import ModelProfile, Profiles
from serving.node.config import NodeConfig
from serving.node.server import NodeServer
from serving.routing.routes import RouteTable, Target
from serving_process import in_node_process
from serving_rows import median_row, merged, print_rows, write_rows
from simulated_predictions import simulated_rows

MODEL, TASK = "rooms-small-depth", "depth"
MAX_BATCH = 8
PLANNED_BATCH = 4
SLOWER = 4.0
LOAD = 0.5
"""of the device's time that single queries would take"""
WHAT = {
    "T9.p50": "batch latency as queries see it / profile, median, emulated device",
    "T9.p99": "the same, 99th percentile",
    "T9.burnt_p50": "median while another process computes on one core",
    "T9.burnt_p99": "99th percentile while another process computes on one core",
    "T9.late": "share of batches that came late",
    "T9.burnt_late": "the same while another process computes on one core",
}


def node() -> Node:
    """A client that emulates a slower device, and promises so little that nothing is refused."""
    return Node(
        name="client",
        tier=Tier.CLIENT,
        device=EmulatedDevice(emulate=SlowerThanHere(slower_than_here=SLOWER)),
        memory=ByteSize(2**30),
        compute=1,
        window_s=10,
        max_batch=MAX_BATCH,
    )


def pictures() -> np.ndarray:
    """(n, h, w, 3) of noise: the same is computed whatever they show."""
    size = find_model(MODEL).preprocessing
    return np.random.default_rng(0).integers(0, 256, (32, size.height, size.width, 3), np.uint8)


def profiled() -> ModelProfile:
    """What the model takes on the device that the node emulates."""
    runtime = ModelRuntime.load(find_model(MODEL), max_batch=32)
    measured = measure_model(
        runtime, pictures(), model=MODEL, device="cpu", max_batches=(MAX_BATCH,), load_s=0.0
    )
    runtime.close()
    host = profile_of(measured, node="client", measured_on="client", max_batch=MAX_BATCH)
    return emulate(host, node(), stated_ratio(SLOWER))


async def drive(seconds: float, seed: int) -> tuple[np.ndarray, float]:
    """What queries saw of their batches / profile, one each, and the share of late batches."""
    profile, images = profiled(), pictures()
    server = NodeServer(
        NodeConfig(node(), (), (TASK,), "", emulated={MODEL: profile}),
        lambda name: ModelRuntime.load(find_model(name), max_batch=MAX_BATCH),
        lambda _: images.shape[1:],
        tasks_of=lambda _: (TASK,),
    )
    await server.load((MODEL,))
    server.route(RouteTable(1, {TASK: ((Target("client", "client", MODEL), 1.0),)}))
    seen: list[float] = []

    async def ask(image: np.ndarray) -> None:
        asked_s = time.monotonic()
        answer = (await server.answer(TASK, image)).forwarded.served
        spent_s = time.monotonic() - asked_s - answer.queue_s - answer.batch_wait_s
        seen.append(spent_s / profile.batch_s(answer.batch_size))

    random = np.random.default_rng(seed)
    due_s = end_s = time.monotonic()
    end_s += seconds
    asked: list[asyncio.Task[None]] = []
    while (due_s := due_s + random.exponential(profile.batch_s(1) / LOAD)) < end_s:
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        asked.append(asyncio.create_task(ask(images[len(asked) % len(images)])))
    await asyncio.gather(*asked)
    counted = server.snapshot()
    server.close()
    return np.array(seen), counted.late_batches / counted.batches


def measure(burnt: bool, seconds: float, seed: int) -> dict[str, float]:
    """The rows of one run."""
    core = max(os.sched_getaffinity(0))
    with busy_neighbour(core) if burnt else nullcontext():
        seen, late = in_node_process(None, partial(drive, seconds, seed))
    name = "T9.burnt_" if burnt else "T9."
    p50, p99 = np.quantile(seen, [0.5, 0.99])
    return {f"{name}p50": float(p50), f"{name}p99": float(p99), f"{name}late": late}


def emulated_batches(repetitions: int, seconds: float) -> list[dict[str, object]]:
    """T9."""
    found: dict[str, list[float]] = {name: [] for name in WHAT}
    for repetition in range(repetitions):
        for burnt in (False, True):
            for name, value in measure(burnt, seconds, repetition).items():
                found[name].append(value)
    return [
        median_row(name, what, "share" if name.endswith("late") else "ratio", found[name])
        for name, what in WHAT.items()
    ]


def profiled_twice(first: Profiles, second: Profiles) -> list[dict[str, object]]:
    """T8: by model, how far two profiles of one machine lie apart at `PLANNED_BATCH`."""
    apart = []
    for profile in first.profiles:
        again = second.find(profile.node, profile.model)
        if again is not None and profile.node == profile.measured_on:
            costs_s = [p.setup_s + PLANNED_BATCH * p.marginal_s for p in (profile, again)]
            apart.append(abs(costs_s[1] / costs_s[0] - 1.0))
    what = f"profile taken twice: nu + c b at {PLANNED_BATCH} queries, relative difference"
    row = median_row("T8", f"{what}, 95th percentile over models", "share", apart)
    return [{**row, "value": float(np.quantile(apart, 0.95))}]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/bench/prediction.json"))
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run of T9")
    parser.add_argument("--live", choices=DEVICES, help="T1 to T5 and T10 instead, on a cluster")
    parser.add_argument("--only", choices=PARTS, help="of these only some")
    parser.add_argument("--simulated", action="store_true", help="T6 and T7 instead")
    parser.add_argument("--profiles", type=Path, default=newest_profiles())
    parser.add_argument("--again", type=Path, help="another profiles.json of this machine: T8")
    parser.add_argument("--trace", type=Path, help="CSV of recorded arrivals for T4")
    asked = parser.parse_args()
    if asked.again:
        rows = profiled_twice(Profiles.load(asked.profiles), Profiles.load(asked.again))
    elif asked.live or asked.simulated:
        if not asked.profiles.exists():
            parser.error(f"{asked.profiles} is not there; run `testbed up` and `testbed profile`")
        setting = load_setting(asked.profiles)
        rows = (
            prediction_rows(setting, asked.live, asked.repetitions, asked.trace, asked.only)
            if asked.live
            else simulated_rows(setting, asked.repetitions)
        )
    else:
        rows = emulated_batches(asked.repetitions, asked.seconds)
    packages = ("torch", "numpy", "ray")
    provenance = collect_provenance("make bench-prediction", packages=packages)
    rows = merged(asked.out, rows, provenance.commit)
    write_rows(asked.out, provenance, rows)
    print_rows(rows)


if __name__ == "__main__":
    main()
