"""The live loop against moving demand: rows L1 to L7, in out/bench/live.json.

Run with `make bench-live`. The demo's hierarchy and demand in simulated time, on what
`testbed profile` measured on this machine: the nodes' own code and the loop's own decisions on a
virtual clock, so that one seed of a run takes seconds. A decision takes as much simulated time as
it took on this machine. Each seed is run on the same arrivals with the plan frozen and with the
loop, beside which routers follow their queues (`RoutingMode.PENALTY`); all have spill-over.

With `--live own` or `--live emulated` the rows of `live_rows.py` are measured instead, on a
cluster, and added to those in the file. docs/benchmarks.md says what each row means.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bound_check import exceeds, plans_of, regrets_on, traces
from cluster.arrivals import PoissonArrivals, ReplayArrivals
from cluster.demand import EVERY_CLIENT, Demand, Phase
from cluster.provenance import collect_provenance
from cluster.specs import SPECS
from demo_hierarchy import DEVICES, load_setting, newest_profiles
from live_bench import (
    CAPACITY_SHARE,
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
from live_rows import live_rows
from planner.plan import Plan
from serving.experiment_runs.request import SimulatedRuns
from serving.replan.options import ReplanOptions
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
from serving.simulation.live_run import LiveRun
from serving_rows import merged, print_rows, write_rows

RUN_S = 72.0
STATIONARY_S = 600.0
FLIP_S = 36.0
KILL_S = 20.0


@dataclass(frozen=True)
class Pair:
    """One seed: the same arrivals on the frozen plan and with the loop."""

    frozen: LiveRun
    """plan and shares as they were made"""
    routed: LiveRun
    """the plan's models as they were, and routers that follow their queues"""
    live: LiveRun

    @property
    def ratio(self) -> float:
        """Accuracy with the loop / on the frozen plan."""
        return self.live.accuracy / self.frozen.accuracy

    @property
    def loop_alone(self) -> float:
        """The same where routers follow their queues on either side: what the loop adds to that."""
        return self.live.accuracy / self.routed.accuracy


def pairs(bench: Bench, phases: Sequence[Phase]) -> list[Pair]:
    """Every seed on the frozen plan and with the loop."""
    return [
        Pair(
            bench.run(phases, seed, None, routing=RoutingMode.SHARES),
            bench.run(phases, seed, None),
            bench.run(phases, seed, ReplanOptions()),
        )
        for seed in bench.seeds
    ]


def against_the_bound(bench: Bench, trace: Path | None) -> tuple[list[Row], list[LiveRun]]:
    """L1: what the loop reaches of the clairvoyant's bound."""
    (phase,) = bench.at_capacity()
    if trace is not None:
        replay = ReplayArrivals(
            kind="replay", file=str(trace), speed=300.0, start_s="random", repeat=True
        )
        phase = phase.model_copy(update={"arrivals": {EVERY_CLIENT: replay}})
    recorded = "a recorded service's bursts" if trace else "bursts"
    kinds = {
        "L1.drift": ("drifting mix", bench.drift()),
        "L1.trace": (f"{recorded} at {CAPACITY_SHARE:.0%} of capacity", [phase]),
        "L1.flash": ("flash crowd of three times the load", bench.flash()),
    }
    rows: list[Row] = []
    runs: list[LiveRun] = []
    for identity, (what, phases) in kinds.items():
        found = [bench.run(phases, seed, ReplanOptions()) for seed in bench.seeds]
        runs += found
        values = [bench.reached(run) for run in found]
        rows.append(row(identity, f"loop / clairvoyant bound (F21): {what}", "ratio", values))
        say(rows[-1])
    return rows, runs


def against_doing_nothing(bench: Bench) -> tuple[list[Row], list[LiveRun]]:
    """L2, and L7, which looks at the same bursts."""
    poisson = pairs(bench, [bench.phase()])
    drift, bursts = pairs(bench, bench.drift()), pairs(bench, bench.bursts())
    what = "loop / frozen plan, lower end of the paired 95 % interval"
    alone = "the same, with queues followed on the frozen plan too"
    rows = []
    for name, kind, found in (
        ("poisson", "Poisson", poisson), ("drift", "drifting mix", drift),
        ("bursts", "bursts", bursts),
    ):  # fmt: skip
        rows += [
            row(f"L2.{name}", f"{what}: {kind}", "ratio", [p.ratio for p in found], "low"),
            row(f"L2.{name}.loop", f"{alone}: {kind}", "ratio",
                [p.loop_alone for p in found], "low"),
        ]  # fmt: skip
    within = [float(pair.live.measurements.in_time.mean()) for pair in bursts]
    kept = [b.live.accuracy / p.live.accuracy for b, p in zip(bursts, poisson, strict=True)]
    rows += [
        row("L7.within", "bursts, loop: share answered within the bound", "share", within),
        row("L7.accuracy", "bursts, loop: accuracy x answered / the same under Poisson", "ratio",
            kept),
        row("L7.dispersion", "variance / mean of a second's count of these bursts", "ratio",
            [dispersion(pair.live) for pair in bursts]),
    ]  # fmt: skip
    for each in rows:
        say(each)
    return rows, [run for p in (*poisson, *drift, *bursts) for run in (p.frozen, p.routed, p.live)]


def reaction(bench: Bench) -> tuple[list[Row], list[LiveRun]]:
    """L3: from a flip of the mix until it is answered."""
    runs = [bench.run(bench.flip(FLIP_S), seed, ReplanOptions()) for seed in range(20)]
    rows = [
        *flip_rows(runs, FLIP_S),
        row("L3.decision", "wall time of a decision in these runs", "s",
            [spent_s for run in runs for spent_s in run.decisions_s]),
    ]  # fmt: skip
    for each in rows:
        say(each)
    return rows, runs


def edge_dies(bench: Bench) -> tuple[list[Row], list[LiveRun]]:
    """L5: the edge is killed under load and started anew seconds later."""
    kill = kill_edge(bench.setting, KILL_S)
    routes_s, goodput_s, runs = [], [], []
    for seed in bench.seeds:
        run = bench.run([bench.phase()], seed, ReplanOptions(), [kill])
        runs.append(run)
        routes_s.append(in_time_again_s(run.measurements, KILL_S))
        goodput_s.append(recovery_s(bench, run.measurements, KILL_S))
    found = [
        row("L5.routes_s", "edge killed: until its clients' answers keep their bound", "s",
            routes_s, "max"),
        row("L5.goodput_s", f"edge killed: until goodput is {RECOVERED:.0%} of the optimum without "
            "it", "s", goodput_s, "max"),
    ]  # fmt: skip
    for each in found:
        say(each)
    return found, runs


def stillness(bench: Bench) -> tuple[list[Row], list[LiveRun]]:
    """L6: ten minutes in which nothing changes but chance."""
    poisson = bench.phase(STATIONARY_S).model_copy(
        update={"arrivals": {EVERY_CLIENT: PoissonArrivals()}}
    )
    runs = [bench.run([poisson], seed, ReplanOptions()) for seed in list(bench.seeds)[:3]]
    found = row(
        "L6", "models moved in ten minutes of stationary load, most of the seeds", "models",
        [float(run.models_moved) for run in runs], "max",
    )  # fmt: skip
    cost = row(
        "L6.core", "share of a core that looks and decisions take meanwhile", "cores",
        [run.loop_s / STATIONARY_S for run in runs], "max",
    )  # fmt: skip
    for each in (found, cost):
        say(each)
    return [found, cost], runs


def bound_holds(bench: Bench) -> list[Row]:
    """L1.bound: what the best of all policies reaches of the bound, on twenty traces (F21)."""
    plans: dict[str, dict[str, Plan]] = {}
    reached = []
    for trace in traces(bench.setting, range(4)):
        digest = bench.setting.problem(trace.phase).digest
        if digest not in plans:
            plans[digest] = plans_of(bench.setting, trace.phase)
        regrets = dict(regrets_on(bench.setting, trace, plans[digest]))
        above = [policy for policy, regret in regrets.items() if exceeds(regret)]
        assert not above, f"{', '.join(above)} above the bound on {trace}"
        reached.append(max(regret.reached for regret in regrets.values()))
    what = "most that a plan of any policy reached of the bound (F21), 20 traces"
    found = row("L1.bound", what, "ratio", reached, "max")
    say(found)
    return [found]


def simulated_rows(
    setting: Setting, seeds: int, trace: Path | None, *, faults_alone: bool
) -> list[Row]:
    """All rows in simulated time, or only L3 and L5 of them (`faults_alone`)."""
    bench = Bench(
        setting,
        Demand.load(SPECS / "demo-demand.yaml"),
        Demand.load(SPECS / "bursty-demand.yaml").phases[0],
        range(12, 12 + seeds),
        RUN_S,
        SimulatedRuns(planning_s=None),
    )
    if faults_alone:
        return [*reaction(bench)[0], *edge_dies(bench)[0]]
    rows: list[Row] = []
    runs: list[LiveRun] = []
    for found, made in (
        against_doing_nothing(bench),
        against_the_bound(bench, trace),
        reaction(bench),
        edge_dies(bench),
        stillness(bench),
    ):
        rows += found
        runs += made
    sent = sum(len(run.measurements) for run in runs)
    what = f"queries lost, of the {sent} of all these runs"
    return [*rows, row("L4", what, "queries", [lost(runs)]), *bound_holds(bench)]


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/bench/live.json"))
    parser.add_argument("--profiles", type=Path, default=newest_profiles())
    parser.add_argument("--trace", type=Path, help="CSV of recorded arrivals for L1.trace")
    parser.add_argument("--seeds", type=int, default=10, help="of the rows in simulated time")
    parser.add_argument("--live", choices=DEVICES, help="on a cluster, with these devices")
    parser.add_argument("--live-seeds", type=int, default=2)
    parser.add_argument("--faults-alone", action="store_true", help="L3 and L5 only")
    options = parser.parse_args()
    if not options.profiles.exists():
        parser.error(f"{options.profiles} is not there; run `testbed up` and `testbed profile`")
    setting = load_setting(options.profiles)
    if options.live:
        rows = live_rows(
            setting, options.live, options.live_seeds, faults_alone=options.faults_alone
        )
    else:
        rows = simulated_rows(
            setting, options.seeds, options.trace, faults_alone=options.faults_alone
        )
    packages = ("numpy", "highspy", "scipy", "torch", "ray")
    provenance = collect_provenance("make bench-live", packages=packages)
    rows = merged(options.out, rows, provenance.commit)
    write_rows(options.out, provenance, rows)
    print_rows(rows)


if __name__ == "__main__":
    main()
