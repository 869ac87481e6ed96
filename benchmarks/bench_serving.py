"""Serving benchmark: rows S1 to S10, written to out/bench/serving.json and printed as a table.

Run with `make bench-serving`, after `make bench-peers` for the rows that compare with others.
Every server runs on one core and the load generator on another (on a machine with two or more);
a repetition measures every row once, starting each server for its turn and ending it after, and
every ratio is taken within a repetition. docs/benchmarks.md says what each row means.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import uvloop

from cluster.provenance import collect_provenance
from cluster.topology import Batching
from http_door import DoorError, HttpDoor
from load import Door, Load, await_ready, closed_loop, join, open_loop
from models.benchmarks.domains import Domains
from models.runtime.model_runtime import ModelRuntime
from models.zoo.registry import find_model
from oip_door import oip_door, tensor_request
from own_rows import (
    bare_qps,
    busy_neighbour,
    executor_to_bare,
    export_frozen,
    generator_floor,
    mean_beside,
    protocol_cost_s,
)
from peers.catalog import PEERS, Peer
from peers.process import running
from serving.node.device.process_tuning import freeze_heap
from serving_process import (
    MAX_BATCH,
    MODEL,
    TASK,
    Way,
    in_node_process,
    one_hop,
    two_hops,
    windows,
)
from serving_rows import collect_rows, print_rows, write_rows
from stolen import undisturbed
from window_plan import plan_window, topology
from wrk import WrkError, drive_with_wrk

CALLERS = 64
CALM, OVERLOAD = 0.7, 3.0
OVERLOAD_WINDOW_S = 0.25
"""T_b under overload; an answer counts within twice that"""
FLOOD_CONNECTIONS = 1_024
SLICES = 3
"""of a load whose throughput is compared with the bare model's, which runs between them"""
PACKAGES = ("torch", "ray", "uvloop", "httptools", "uvicorn", "orjson")
DOORS: dict[Way, str] = {"own": "", "uvicorn": ".uvicorn"}
"""what serves HTTP -> how its rows end"""
T = TypeVar("T")
D = TypeVar("D", bound=Door)


@dataclass
class Bench:
    """What the turns of all repetitions share, and what they found."""

    seconds: float
    """of a closed loop"""
    open_s: float
    """of an open loop"""
    folder: Path
    runtime: ModelRuntime
    images: np.ndarray
    """(n, h, w, 3) uint8"""
    server_core: int | None
    generator_core: int | None
    found: dict[str, list[float]] = field(default_factory=dict)
    stolen: list[float] = field(default_factory=list)
    """shares of the cores' time that the host took during the loads of this repetition"""
    errors: dict[str, str] = field(default_factory=dict)

    def note(self, identity: str, value: float) -> None:
        """One more figure of a row; one that rests on no answer at all is an error instead."""
        if np.isfinite(value):
            self.found.setdefault(identity, []).append(value)
        else:
            self.errors[identity] = "nothing was answered in at least one repetition"

    @property
    def model_file(self) -> Path:
        """The frozen model that the peers serve."""
        return self.folder / "peers" / "model.pt"

    def at(self, core: int | None, measure: Callable[[], T]) -> T:
        """Run `measure` on `core`, then be free again."""
        free = os.sched_getaffinity(0)
        if core is not None:
            os.sched_setaffinity(0, {core})
        try:
            return measure()
        finally:
            os.sched_setaffinity(0, free)

    def bare(self) -> float:
        """Queries per second of the bare model on the servers' core, now."""
        measure = partial(bare_qps, self.runtime, self.images, self.seconds / SLICES / 2)
        return self.at(self.server_core, measure)

    def beside_bare(self, measure: Callable[[], T]) -> tuple[T, float]:
        """What `measure` finds, and the bare model's mean of just before and just after it: a
        shared machine's speed changes by the second."""
        before = self.bare()
        found = measure()
        return found, (before + self.bare()) / 2

    async def closed_beside_bare(self, door: Door) -> tuple[Load, float]:
        """The load of every row of throughput in slices, and the bare model's mean around them."""
        slice_s = self.seconds / SLICES

        async def bare_now() -> float:
            return self.bare()

        bare, loads = [await self.keep(bare_now)], []
        for _ in range(SLICES):
            loads.append(await self.keep(lambda: closed_loop(door, CALLERS, slice_s)))
            bare.append(await self.keep(bare_now))
        return join(loads), mean_beside(bare)

    def drive(self, door: D, session: Callable[[D], Coroutine[Any, Any, T]]) -> T:
        """Wait for a server, check its answer, warm it, and run `session` on our own core."""
        expected = self.runtime.run(self.images[:1])[TASK][0].tobytes()

        async def main() -> T:
            async with door:
                await await_ready(door, expected)
                await closed_loop(door, CALLERS, min(1.0, self.seconds))
                return await session(door)

        return self.at(self.generator_core, lambda: run(main()))

    def drive_ours(self, port: int, session: Callable[[HttpDoor], Coroutine[Any, Any, T]]) -> T:
        """The same at the HTTP door of one of our client nodes."""
        return self.drive(oip_door(port, TASK, self.images), session)

    async def closed(self, door: Door) -> Load:
        """The load of every row of throughput."""
        return await self.keep(lambda: closed_loop(door, CALLERS, self.seconds))

    async def arrivals(self, door: Door, rate_qps: float) -> Load:
        """The load of every row with Poisson arrivals."""
        return await self.keep(lambda: open_loop(door, rate_qps, self.open_s))

    async def keep(self, measure: Callable[[], Awaitable[T]]) -> T:
        """What is found while the host of this machine leaves it its cores, if it ever does."""
        found, share = await undisturbed(measure)
        self.stolen.append(share)
        return found


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the loop that replicas use."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def protocol_cost(images: np.ndarray, way: Way) -> float:
    """S10, in seconds."""
    return run(protocol_cost_s(images, way))


def repeat(bench: Bench) -> None:
    """Every row once."""
    core = bench.server_core
    executor = partial(executor_to_bare, bench.images, CALLERS, bench.seconds, SLICES)
    inside, bare = bench.beside_bare(lambda: in_node_process(core, executor))
    bench.note("S0.bare", bare)
    bench.note("S1", inside)
    if bench.generator_core is not None:
        with busy_neighbour(bench.generator_core):
            bench.note("S0.beside", bench.bare() / bare)
    for way, suffix in DOORS.items():
        cost_s = bench.at(core, partial(protocol_cost, bench.images, way))
        bench.note(f"S10{suffix}", 1e3 * cost_s)
    measured = [(peer, measure_peer(bench, peer)) for peer in PEERS]
    rivals = [(peer, rival) for peer, rival in measured if rival is not None]
    measure_one_hop(bench, bare, rivals)
    measure_uvicorn(bench)
    for way in DOORS:
        measure_overload(bench, way)
    with two_hops(core) as port:
        load, near = bench.drive_ours(port, bench.closed_beside_bare)
    bench.note("S3", load.answered_qps / near)
    bench.note("S3.p50", load.quantile_ms(0.5))
    bench.note("S3.p99", load.quantile_ms(0.99))
    measure_windows(bench)
    measure_generator(bench, "S9.", 200.0)
    measure_generator(bench, "S9.fast_", 2_000.0)
    bench.note("S0.stolen", max(bench.stolen))
    bench.stolen.clear()


@dataclass(frozen=True)
class Rival:
    """What a peer did in this repetition."""

    peak_qps: float
    calm_p99_ms: float


def measure_peer(bench: Bench, peer: Peer) -> Rival | None:
    """Peak, and p99 at 70 % of it; None where the peer is missing or fails, which is noted."""
    row = peer.row

    async def session(door: Door) -> Rival:
        peak = await bench.closed(door)
        calm = await bench.arrivals(door, CALM * peak.answered_qps)
        return Rival(peak.answered_qps, calm.quantile_ms(0.99))

    if row in bench.errors and row not in bench.found:
        return None  # it failed the first time, and waiting for it again would take minutes
    reason = peer.missing()
    if reason is not None:
        bench.errors[row] = reason
        return None
    log = bench.folder / "peers" / f"{peer.name}.log"
    try:
        with running(peer, bench.model_file, MAX_BATCH, bench.server_core, log) as port:
            return bench.drive(peer.make_door(port, bench.images), session)
    except DoorError as error:
        # A peer that does not run must not end the run of all others.
        bench.errors[row] = f"{error}; see {log}"
        return None


def measure_one_hop(bench: Bench, bare: float, rivals: list[tuple[Peer, Rival]]) -> None:
    """S2, S4, S5, S6: our door under one load after another."""
    fastest = max((rival for _, rival in rivals), key=lambda rival: rival.peak_qps, default=None)

    async def session(door: Door) -> tuple[Load, Load | None]:
        now = await bench.closed(door)  # as of the peers: the machine's speed changes
        calm = await bench.arrivals(door, CALM * now.answered_qps)
        same = await bench.arrivals(door, CALM * fastest.peak_qps) if fastest else None
        return calm, same

    with one_hop(bench.server_core) as port:
        peak, near = bench.drive_ours(port, bench.closed_beside_bare)
        calm, same = bench.drive_ours(port, session)
        measure_with_wrk(bench, port)
    bench.note("S2", peak.answered_qps / near)
    bench.note("S2.p50", peak.quantile_ms(0.5))
    bench.note("S2.p99", peak.quantile_ms(0.99))
    for peer, rival in rivals:
        bench.note(peer.row, peak.answered_qps / rival.peak_qps)
        if peer.distribution == "ray":
            bench.note(f"{peer.row}.bare", rival.peak_qps / bare)
        if peer.name != "ray_serve_defaults":
            bench.note(f"S6.{peer.name}", rival.calm_p99_ms)
    bench.note("S6.ours", calm.quantile_ms(0.99))
    if fastest and same:
        bench.note("S6.same_load", same.quantile_ms(0.99) / fastest.calm_p99_ms)


def calmest_peer_ratio(found: dict[str, list[float]]) -> list[float]:
    """S6: our p99 over that of the peer whose median is lowest, repetition by repetition.

    The lowest of several noisy figures of one repetition would favour whoever has most of them.
    """
    peers = [seen for peer in PEERS if (seen := found.get(f"S6.{peer.name}"))]
    whole = [seen for seen in peers if len(seen) == len(found["S6.ours"])]
    if not whole:
        return []
    calmest = min(whole, key=statistics.median)
    return [ours / theirs for ours, theirs in zip(found["S6.ours"], calmest, strict=True)]


def measure_uvicorn(bench: Bench) -> None:
    """S2.uvicorn: what the hand-written HTTP server is worth."""
    with one_hop(bench.server_core, way="uvicorn") as port:
        load, near = bench.drive_ours(port, bench.closed_beside_bare)
    bench.note("S2.uvicorn", load.answered_qps / near)


def measure_overload(bench: Bench, way: Way = "own") -> None:
    """S7: three times what the door answered a moment before, over connections that are open, and
    what it answers then over the mean of what it answers just before and just after."""

    async def session(door: HttpDoor) -> tuple[float, Load]:
        before = (await bench.closed(door)).answered_qps
        await door.connect(FLOOD_CONNECTIONS)
        flood = await bench.arrivals(door, OVERLOAD * before)
        return (before + (await bench.closed(door)).answered_qps) / 2, flood

    with one_hop(bench.server_core, OVERLOAD_WINDOW_S, way) as port:
        peak_qps, flood = bench.drive_ours(port, session)
    bench.note(f"S7{DOORS[way]}", flood.within_qps(2 * OVERLOAD_WINDOW_S) / peak_qps)
    if way != "own":
        return
    bench.note("S7.refused", flood.refused / flood.sent)
    bench.note("S7.p99", flood.quantile_ms(0.99))
    bench.note("S7.lateness", 1e3 * flood.lateness_p99_s)


def measure_with_wrk(bench: Bench, port: int) -> None:
    """S2.wrk: one image, again and again."""
    body, headers = tensor_request(bench.images[0])
    url = f"http://127.0.0.1:{port}/v2/models/{TASK}/infer"
    drive = partial(
        drive_with_wrk, url, body, headers, callers=CALLERS, seconds=bench.seconds,
        core=bench.generator_core, folder=bench.folder / "wrk",
    )  # fmt: skip
    try:
        qps, near = bench.beside_bare(drive)
    except WrkError as error:
        bench.errors["S2.wrk"] = str(error)
        return
    bench.note("S2.wrk", qps / near)


def measure_windows(bench: Bench) -> None:
    """S8: the same arrivals for an edge with gated windows and for a work-conserving one."""
    plan = bench.at(bench.server_core, lambda: plan_window(bench.runtime, bench.images, MAX_BATCH))
    loads = {}
    for batching in Batching:
        shape = topology(batching, MAX_BATCH)
        with windows(shape, bench.server_core, bench.generator_core) as port:
            loads[batching] = bench.drive_ours(
                port, lambda door: bench.arrivals(door, plan.rate_qps)
            )
    window, greedy = loads[Batching.WINDOW], loads[Batching.GREEDY]
    bench.note("S8.rate", plan.rate_qps)
    bench.note("S8.within", window.within_qps(plan.bound_s) * window.seconds / window.sent)
    bench.note("S8.within_greedy", greedy.within_qps(plan.bound_s) * greedy.seconds / greedy.sent)
    bench.note("S8.window_p50", window.quantile_ms(0.5))
    bench.note("S8.median_ratio", greedy.quantile_ms(0.5) / window.quantile_ms(0.5))


def measure_generator(bench: Bench, identity: str, rate_qps: float) -> None:
    """S9: the load generator by itself."""
    floor = bench.at(bench.generator_core, lambda: run(generator_floor(rate_qps, 2.0)))
    bench.note(f"{identity}p50", 1e3 * floor.lateness_p50_s)
    bench.note(f"{identity}p99", 1e3 * floor.lateness_p99_s)


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/bench/serving.json"))
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each closed loop")
    parser.add_argument("--open-seconds", type=float, default=5.0, help="of each open loop")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    domains = Domains("test")
    bench = Bench(
        seconds=options.seconds,
        open_s=options.open_seconds,
        folder=options.out.parent.resolve(),
        runtime=ModelRuntime.load(find_model(MODEL), max_batch=MAX_BATCH),
        images=np.stack([domains.sample(index).image for index in range(CALLERS)]),
        server_core=cores[0] if len(cores) > 1 else None,
        generator_core=cores[1] if len(cores) > 1 else None,
    )
    if len(cores) == 1:
        print("one core only: the servers share it with the load generator", flush=True)
    export_frozen(bench.model_file)
    freeze_heap()  # or a collection of torch's and Ray's objects stalls the generator for 0.3 s
    begun_s = time.monotonic()
    for number in range(options.repetitions):
        repeat(bench)
        spent_s = time.monotonic() - begun_s
        print(f"repetition {number + 1} of {options.repetitions}, {spent_s:.0f} s", flush=True)
    for value in calmest_peer_ratio(bench.found):
        bench.note("S6", value)
    rows = collect_rows(bench.found, bench.errors)
    provenance = collect_provenance("make bench-serving", packages=PACKAGES)
    versions = provenance.versions | {
        peer.distribution: peer.version() for peer in PEERS if not peer.missing()
    }
    write_rows(options.out, provenance.model_copy(update={"versions": versions}), rows)
    print_rows(rows)


if __name__ == "__main__":
    main()
