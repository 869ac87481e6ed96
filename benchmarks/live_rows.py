"""The live loop on a Ray cluster of this machine: rows L1 to L5 and L7, from a few short runs.

What a user runs is run here: nodes with real models, a deployed plan, labelled traffic through the
clients' doors, the timeline's faults and the loop beside it (`serving.experiment_runs.on_cluster`).
Each seed's arrivals are driven once on the frozen plan and once with the loop; which comes first
alternates, so that neither always finds the machine as the other has left it. Rows end in `.live`
on the devices of this machine, and in `.emulated` on slower ones that it emulates, where the host's
own pace counts less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cluster.demand import Demand, Phase
from cluster.specs import SPECS
from demo_hierarchy import on_devices, runs_on_cluster
from live_bench import (
    CAPACITY_SHARE,
    CROWD_FACTOR,
    RECOVERED,
    Bench,
    Row,
    dispersion,
    flip_rows,
    in_time_again_s,
    kill_edge,
    lost,
    recovery_s,
    row,
    say,
)
from serving.replan.options import ReplanOptions
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
from serving.simulation.live_run import LiveRun
from serving.traffic.summary import summarise_run

__all__ = ["Drives", "live_rows", "measure"]

RUN_S = 40.0
FLIP_S = 15.0
KILL_S = 10.0
FLIPS = 20


@dataclass
class Drives:
    """What was driven so far, and the rows that it gave."""

    bench: Bench
    suffix: str
    runs: list[LiveRun] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def loop(self, phases: Sequence[Phase], seed: int, kill_s: float | None = None) -> LiveRun:
        """One run with the loop, and with the edge killed where a time is given."""
        timeline = [] if kill_s is None else [kill_edge(self.bench.setting, kill_s)]
        return self._kept(self.bench.run(phases, seed, ReplanOptions(), timeline))

    def pairs(self, phases: Sequence[Phase]) -> list[tuple[LiveRun, LiveRun]]:
        """Every seed on the frozen plan, which keeps its shares, and with the loop."""
        found = []
        for turn, seed in enumerate(self.bench.seeds):
            looped = self.loop(phases, seed) if turn % 2 else None
            frozen = self._kept(self.bench.run(phases, seed, None, routing=RoutingMode.SHARES))
            found.append((frozen, looped or self.loop(phases, seed)))
        return found

    def add(self, name: str, what: str, unit: str, values: Sequence[float], pick: str) -> None:
        """A row of these runs."""
        stated = f"{what}; {len(values)} runs of {RUN_S:g} s"
        self.rows.append(row(f"{name}.{self.suffix}", stated, unit, values, pick))
        say(self.rows[-1])

    def _kept(self, run: LiveRun) -> LiveRun:
        self.runs.append(run)
        print(
            f"  accuracy {run.accuracy:.3f}, answered {run.answered_share:.3f}, "
            f"{self.bench.reached(run):.1%} of the clairvoyant's bound, "
            f"{len(run.changes)} changes",
            flush=True,
        )
        return run


def live_rows(setting: Setting, devices: str, seeds: int, *, faults_alone: bool) -> list[Row]:
    """The rows of `setting`, or only L3 and L5 of them (`faults_alone`), on a cluster of their own,
    with its devices or those of `cluster/specs/emulated.yaml`, whose loads are half as large."""
    setting, demand = on_devices(setting, devices)
    bursty = Demand.load(SPECS / "bursty-demand.yaml").phases[0]
    bursty = bursty.model_copy(update={"rates_qps": demand.phases[0].rates_qps})
    with runs_on_cluster("make bench-live") as runs:
        bench = Bench(setting, demand, bursty, range(12, 12 + seeds), RUN_S, runs)
        drives = Drives(bench, "live" if devices == "own" else devices)
        if faults_alone:
            flips(drives)
            edge_dies(drives)
        else:
            measure(drives)
    return drives.rows


def measure(drives: Drives) -> None:
    """Every row, into `drives.rows`."""
    bench, seeds = drives.bench, drives.bench.seeds
    ratio = "loop / frozen plan on the same arrivals, lower end of the paired 95 % interval"
    bound = "loop / clairvoyant bound (F21)"
    poisson = drives.pairs([bench.phase()])
    drives.add("L2.poisson", f"{ratio}: Poisson", "ratio", _ratios(poisson), "low")
    drift = drives.pairs(bench.drift())
    drives.add("L2.drift", f"{ratio}: drifting mix", "ratio", _ratios(drift), "low")
    drives.add("L1.drift", f"{bound}: drifting mix", "ratio",
               [bench.reached(live) for _, live in drift], "median")  # fmt: skip
    bursts = drives.pairs(bench.bursts())
    drives.add("L2.bursts", f"{ratio}: bursts", "ratio", _ratios(bursts), "low")
    within = [float(live.measurements.in_time.mean()) for _, live in bursts]
    drives.add("L7.within", "bursts, loop: share answered within the bound", "share",
               within, "median")  # fmt: skip
    kept = [burst.accuracy / calm.accuracy
            for (_, burst), (_, calm) in zip(bursts, poisson, strict=True)]  # fmt: skip
    drives.add("L7.accuracy", "bursts, loop: accuracy x answered / the same under Poisson",
               "ratio", kept, "median")  # fmt: skip
    drives.add("L7.dispersion", "variance / mean of a second's count of these bursts", "ratio",
               [dispersion(live) for _, live in bursts], "median")  # fmt: skip
    full = bench.at_capacity()
    traced = [drives.loop(full, seed) for seed in seeds]
    drives.add("L1.trace", f"{bound}: bursts at {CAPACITY_SHARE:.0%} of capacity", "ratio",
               [bench.reached(run) for run in traced], "median")  # fmt: skip
    crowds = [drives.loop(bench.flash(), seed) for seed in seeds]
    drives.add("L1.flash", f"{bound}: flash crowd of {CROWD_FACTOR:g} times the load", "ratio",
               [bench.reached(run) for run in crowds], "median")  # fmt: skip
    flips(drives)
    edge_dies(drives)
    _all_runs(drives)


def flips(drives: Drives) -> None:
    """L3."""
    runs = [drives.loop(drives.bench.flip(FLIP_S), seed) for seed in range(FLIPS)]
    for found in flip_rows(runs, FLIP_S, f".{drives.suffix}"):
        drives.rows.append(found)
        say(found)


def edge_dies(drives: Drives) -> None:
    """L5."""
    bench = drives.bench
    runs = [drives.loop([bench.phase()], seed, KILL_S) for seed in bench.seeds]
    drives.add("L5.routes_s", "edge killed: until its clients' answers keep their bound", "s",
               [in_time_again_s(run.measurements, KILL_S) for run in runs], "max")  # fmt: skip
    what = f"edge killed: until goodput is {RECOVERED:.0%} of the optimum without it"
    drives.add("L5.goodput_s", what, "s",
               [recovery_s(bench, run.measurements, KILL_S) for run in runs], "max")  # fmt: skip


def _all_runs(drives: Drives) -> None:
    runs = drives.runs
    sent = sum(len(run.measurements) for run in runs)
    late_s = [float(np.quantile(run.measurements.lateness_s, 0.99)) for run in runs]
    rows = [
        row(f"L4.{drives.suffix}", f"queries lost, of the {sent} of all {len(runs)} runs",
            "queries", [lost(runs)]),
        row(f"L1.bound.{drives.suffix}", "most that any of these runs reached of its bound (F21)",
            "ratio", [drives.bench.reached(run) for run in runs], "max"),
        row(f"L.lateness.{drives.suffix}", "lateness of the generator, 99th percentile of a run",
            "s", late_s),
    ]  # fmt: skip
    batches = sum(sum(run.measurements.run.batches.values()) for run in runs)
    if batches:
        late = [_late_share(run) for run in runs]
        rows.append(
            row(f"L.late_batches.{drives.suffix}",
                "a node's batches that came later than from the device it emulates, most of a run",
                "share", late)
        )  # fmt: skip
    for found in rows:
        drives.rows.append(found)
        say(found)


def _late_share(run: LiveRun) -> float:
    """Of the node that was late most often."""
    return max(summarise_run(run.measurements).late_batch_share_by_node.values(), default=0.0)


def _ratios(pairs: Sequence[tuple[LiveRun, LiveRun]]) -> list[float]:
    return [live.accuracy / frozen.accuracy for frozen, live in pairs]
