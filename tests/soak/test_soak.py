"""Ten minutes of traffic and plan changes: memory and file descriptors of every node stay flat.

SOAK_SECONDS sets another duration (60 is the least that means anything). What is measured is what
a Prometheus would see: `process_resident_memory_bytes` and `process_open_fds` of each node.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from soak_traffic import Callers

from models.benchmarks.rooms import Rooms
from serving.traffic.images import load_images
from support.testbed_process import Testbed

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
SAMPLES = 60
CHANGES = max(2, round(SECONDS / 60))
"""plans put in force, two in turn"""
GROWTH_BYTES, GROWTH_FILES = 12 * 2**20, 8
"""between the middle and the end of the run, beyond which a node is taken to leak"""


@dataclass(frozen=True)
class Size:
    """Of one node's process at one time."""

    resident_bytes: float
    files: float


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    """A deployed testbed with two plans to change between."""
    found = Testbed(tmp_path_factory.mktemp("soak"))
    try:
        for command in (
            ("up",),
            ("profile", "--seconds", "0.05"),
            ("plan", "--policy", "all-edge", "--output", "out/other.json"),
            ("plan", "--policy", "baj3o", "--output", "out/plan.json"),
            ("deploy", "out/plan.json"),
        ):
            done = found.run(*command, timeout_s=900.0)
            assert done.returncode == 0, done.stdout + done.stderr
        yield found
    finally:
        found.run("down")


async def sample(session: aiohttp.ClientSession, address: str) -> Size:
    async with session.get(f"http://{address}/metrics") as reply:
        text = await reply.text()
    values = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("process_")
    }
    return Size(values["process_resident_memory_bytes"], values["process_open_fds"])


async def soak(bench: Testbed) -> tuple[Callers, dict[str, list[Size]], list[int]]:
    groups = json.loads((bench.folder / "out/prometheus/targets.json").read_text())
    addresses = {group["labels"]["testbed_node"]: group["targets"][0] for group in groups}
    clients = [node for node in addresses if node.startswith("client")]
    pictures = load_images([Rooms("test")], 8).bodies
    callers = Callers([f"http://{addresses[node]}" for node in clients], pictures)
    sizes: dict[str, list[Size]] = defaultdict(list)
    changes: list[int] = []

    async def change_plans() -> None:
        for number in range(CHANGES):
            await asyncio.sleep(SECONDS / (CHANGES + 1))
            plan = ("out/other.json", "out/plan.json")[number % 2]
            changes.append((await asyncio.to_thread(bench.run, "deploy", plan)).returncode)

    running = asyncio.ensure_future(callers.run())
    changing = asyncio.ensure_future(change_plans())
    begun_s = time.monotonic()
    async with aiohttp.ClientSession() as session:
        for number in range(SAMPLES):
            due_s = begun_s + (number + 1) * SECONDS / SAMPLES
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            for node, address in addresses.items():
                sizes[node].append(await sample(session, address))
    callers.stop()
    await running
    await changing
    return callers, sizes, changes


def medians(sizes: list[Size]) -> Size:
    return Size(
        statistics.median(size.resident_bytes for size in sizes),
        statistics.median(size.files for size in sizes),
    )


def test_nothing_grows_and_nobody_sees_a_fault(bench: Testbed) -> None:
    callers, sizes, changes = asyncio.run(soak(bench))
    print(f"{SECONDS:.0f} s: {dict(callers.outcomes)}, {len(changes)} plan changes")
    grown: dict[str, tuple[float, float]] = {}
    for node, seen in sizes.items():
        middle, end = medians(seen[24:36]), medians(seen[-12:])
        grown[node] = (end.resident_bytes - middle.resident_bytes, end.files - middle.files)
        print(
            f"{node}: {middle.resident_bytes / 2**20:.0f} to {end.resident_bytes / 2**20:.0f} MiB, "
            f"{middle.files:.0f} to {end.files:.0f} files"
        )
    assert callers.surprises == []
    assert callers.outcomes["answered"] > SECONDS
    assert changes == [0] * CHANGES
    assert all(more < GROWTH_BYTES for more, _ in grown.values()), grown
    assert all(more < GROWTH_FILES for _, more in grown.values()), grown
