"""The live loop against moving demand: rows L1 to L7, in out/bench/live.json.

Run with `make bench-live`. The demo's hierarchy and demand in simulated time, on what
`testbed profile` measured on this machine: the nodes' own code and the loop's own decisions on a
virtual clock, so that one seed of a run takes seconds. A decision takes as much simulated time as
it took on this machine. Each seed is run on the same arrivals with the plan frozen and with the
loop, beside which routers follow their queues (`RoutingMode.PENALTY`); all have spill-over.
docs/benchmarks.md says what each row means.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from cluster.arrivals import FlashCrowd, PoissonArrivals, ReplayArrivals
from cluster.demand import EVERY_CLIENT, Demand, Phase, RatesQps
from cluster.provenance import collect_provenance
from cluster.specs import SPECS
from cluster.timeline import TimelineEvent
from cluster.topology import Topology
from models.zoo.registry import list_models
from planner.plan import Plan
from planner.policies import Options, solve
from planner.programs.clairvoyant import Health
from profiling.profile import Profiles
from serving.experiments.intervals import mean_interval
from serving.replan.options import ReplanOptions
from serving.report.regret import PERIOD_S, regret_of
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
from serving.simulation.live_run import LiveRun, simulate_live
from serving.system import Outcome
from serving.traffic.measurement import Measurements
from serving_rows import print_rows, write_rows

RUN_S = 72.0
STATIONARY_S = 600.0
FLIP_S = 36.0
KILL_S = 20.0
CAPACITY_SHARE = 0.8
GOODPUT_BIN_S = 1.0
RECOVERED = 0.95
IN_TIME, IN_TIME_STEP_S = 0.99, 0.1
Row = dict[str, object]


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


@dataclass(frozen=True)
class Bench:
    """The demo's setting, its demand, and how often to repeat."""

    setting: Setting
    demand: Demand
    bursty: Phase
    seeds: range

    @cached_property
    def plan(self) -> Plan:
        """What the runs start with: `certified` for the first phase's mean load."""
        return solve(self.setting.problem(self.phase()), "certified", Options()).plan

    def phase(self, duration_s: float = RUN_S) -> Phase:
        """The demo's first phase, Poisson."""
        return self.demand.phases[0].model_copy(update={"duration_s": duration_s})

    def flip(self) -> list[Phase]:
        """The mix of the first phase, then at once that of the second."""
        first, second = self.demand.phases[:2]
        return [each.model_copy(update={"duration_s": FLIP_S}) for each in (first, second)]

    def drift(self) -> list[Phase]:
        """From the mix of the first phase to that of the second in a straight line."""
        other = self.demand.phases[1].rates_qps
        return [self.phase().model_copy(update={"drift_to_qps": other})]

    def flash(self) -> list[Phase]:
        """Three times the load for a quarter of a minute."""
        crowd = FlashCrowd(kind="flash_crowd", at_s=24.0, rise_s=2.0, hold_s=15.0, factor=3.0)
        return [self.phase().model_copy(update={"arrivals": {EVERY_CLIENT: crowd}})]

    def pairs(self, phases: Sequence[Phase]) -> list[Pair]:
        """Every seed on the frozen plan and with the loop."""
        return [
            Pair(
                self.run(phases, seed, None, routing=RoutingMode.SHARES),
                self.run(phases, seed, None),
                self.run(phases, seed, ReplanOptions()),
            )
            for seed in self.seeds
        ]

    def run(
        self,
        phases: Sequence[Phase],
        seed: int,
        options: ReplanOptions | None,
        timeline: Sequence[TimelineEvent] = (),
        routing: RoutingMode = RoutingMode.PENALTY,
    ) -> LiveRun:
        """One run."""
        return simulate_live(
            self.setting, self.plan, phases, options, seed=seed, timeline=timeline, routing=routing
        )

    def reached(self, run: LiveRun, health: Health | None = None) -> float:
        """Accuracy in time / what any sequence of plans could have reached (F21)."""
        regret = regret_of(run.measurements, self.setting, health=health)
        assert regret is not None
        return regret.reached

    def at_capacity(self, phase: Phase, share: float) -> Phase:
        """`phase` with its rates scaled to `share` of the largest load that a plan serves whole."""

        def scaled(factor: float) -> RatesQps:
            return {
                client: {task: factor * rate for task, rate in rates.items()}
                for client, rates in phase.rates_qps.items()
            }

        def served(factor: float) -> bool:
            load = Phase(duration_s=1.0, rates_qps=scaled(factor))
            solution = solve(self.setting.problem(load), "certified", Options())
            return solution.evaluation.summary().shed_share < 0.01

        low, high = 0.25, 16.0
        while high / low > 1.05:
            middle = float(np.sqrt(low * high))
            low, high = (middle, high) if served(middle) else (low, middle)
        return phase.model_copy(update={"rates_qps": scaled(share * low)})


def row(identity: str, what: str, unit: str, values: Sequence[float], pick: str = "median") -> Row:
    """One row: `pick` is median, max or low (the lower end of the 95 % interval of the mean)."""
    picks: dict[str, Callable[[Sequence[float]], float]] = {
        "median": lambda found: float(np.median(found)),
        "max": max,
        # By resampling: most ratios of a loop that stays are 1, which no normal distribution has.
        "low": lambda found: mean_interval(found).low,
    }
    spread = [min(values), max(values)]
    return {
        "id": identity, "what": what, "value": picks[pick](values), "unit": unit,
        "n": len(values), "spread": spread,
    }  # fmt: skip


def against_the_bound(bench: Bench, trace: Path | None) -> tuple[list[Row], list[LiveRun]]:
    """L1: what the loop reaches of the clairvoyant's bound."""
    phase = bench.at_capacity(bench.bursty, CAPACITY_SHARE)
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
    poisson = bench.pairs([bench.phase()])
    drift, bursts = bench.pairs(bench.drift()), bench.pairs([bench.bursty])
    what = "loop / frozen plan, lower end of the paired 95 % interval"
    alone = "the same, with queues followed on the frozen plan too"
    rows = []
    for name, kind, pairs in (
        ("poisson", "Poisson", poisson), ("drift", "drifting mix", drift),
        ("bursts", "bursts", bursts),
    ):  # fmt: skip
        rows += [
            row(f"L2.{name}", f"{what}: {kind}", "ratio", [p.ratio for p in pairs], "low"),
            row(f"L2.{name}.loop", f"{alone}: {kind}", "ratio",
                [p.loop_alone for p in pairs], "low"),
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


def dispersion(run: LiveRun) -> float:
    """Variance ÷ mean of the counts of a second."""
    counts = np.bincount(run.measurements.scheduled_s.astype(int), minlength=int(RUN_S))
    return float(counts.var() / counts.mean())


def reaction(bench: Bench) -> tuple[list[Row], list[LiveRun]]:
    """L3: from a flip of the mix until routes that answer it are in force."""
    runs = [bench.run(bench.flip(), seed, ReplanOptions()) for seed in range(20)]
    delays_s = []
    for run in runs:
        after = [each.in_force_s for each in run.changes if each.look.at_s >= FLIP_S]
        delays_s.append(after[0] - FLIP_S if after else FLIP_S)
    what = "flip of the mix to new routes in force, 20 seeds"
    rows = [
        row("L3.median", f"{what}: median", "s", delays_s),
        row("L3.worst", f"{what}: worst", "s", delays_s, "max"),
        row("L3.decision", "wall time of a decision in these runs", "s",
            [spent_s for run in runs for spent_s in run.decisions_s]),
    ]  # fmt: skip
    for each in rows:
        say(each)
    return rows, runs


def edge_dies(bench: Bench) -> tuple[list[Row], list[LiveRun]]:
    """L5: the edge is killed under load and started anew seconds later."""
    edge = bench.setting.topology.edges[0].name
    kill = TimelineEvent(at_s=KILL_S, kill_node=edge)
    routes_s, goodput_s, runs = [], [], []
    for seed in bench.seeds:
        run = bench.run([bench.phase()], seed, ReplanOptions(), [kill])
        runs.append(run)
        routes_s.append(in_time_again_s(run.measurements))
        goodput_s.append(recovery_s(bench, run))
    found = [
        row("L5.routes_s", "edge killed: until its clients' answers keep their bound", "s",
            routes_s, "max"),
        row("L5.goodput_s", f"edge killed: until goodput is {RECOVERED:.0%} of the optimum without "
            "it", "s", goodput_s, "max"),
    ]  # fmt: skip
    for each in found:
        say(each)
    return found, runs


def in_time_again_s(rows: Measurements) -> float:
    """From the edge's end until the answers to what comes from then on keep their bound: 99 of 100
    of them over a second. Refusals are left to goodput."""
    for begin_s in np.arange(KILL_S, RUN_S, IN_TIME_STEP_S):
        inside = (rows.scheduled_s >= begin_s) & (rows.scheduled_s < begin_s + 1.0)
        answered = inside & rows.answered
        if answered.any() and rows.in_time[answered].mean() >= IN_TIME:
            return float(begin_s - KILL_S)
    return RUN_S - KILL_S


def recovery_s(bench: Bench, run: LiveRun) -> float:
    """From the edge's end until the seconds that follow score as much as the bound without it."""
    problem = bench.setting.problem(bench.phase())
    periods = int(np.ceil(RUN_S / PERIOD_S))
    whole = Health.whole(problem, periods)
    regret = regret_of(
        run.measurements,
        bench.setting,
        health=replace(whole, edge_ke=0 * whole.edge_ke, link_ka=0 * whole.link_ka),
    )
    assert regret is not None
    rows, wanted = run.measurements, RECOVERED * regret.clairvoyant_bound
    score_q = np.where(rows.in_time, rows.score, 0.0)
    for begin_s in np.arange(KILL_S, RUN_S - 5.0, GOODPUT_BIN_S):
        inside = (rows.scheduled_s >= begin_s) & (rows.scheduled_s < begin_s + 5.0)
        if score_q[inside].mean() >= wanted:
            return float(begin_s - KILL_S)
    return RUN_S - KILL_S


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
    say(found)
    return [found], runs


def say(found: Row) -> None:
    """Progress, at once."""
    print(f"{found['id']}: {found['value']:.4f} {found['unit']}", flush=True)


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/bench/live.json"))
    parser.add_argument("--profiles", type=Path, default=Path("out/profiles.json"))
    parser.add_argument("--trace", type=Path, help="CSV of recorded arrivals for L1.trace")
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    if not options.profiles.exists():
        parser.error(f"{options.profiles} is not there; run `testbed up` and `testbed profile`")
    profiles = Profiles.load(options.profiles)
    profiled = {profile.model for profile in profiles.profiles}
    bench = Bench(
        Setting(
            Topology.load(SPECS / "demo.yaml"),
            tuple(card for card in list_models() if card.name in profiled),
            profiles,
        ),
        Demand.load(SPECS / "demo-demand.yaml"),
        Demand.load(SPECS / "bursty-demand.yaml").phases[0],
        range(12, 12 + options.seeds),
    )
    rows: list[Row] = []
    runs: list[LiveRun] = []
    for found, made in (
        against_doing_nothing(bench),
        against_the_bound(bench, options.trace),
        reaction(bench),
        edge_dies(bench),
        stillness(bench),
    ):
        rows += found
        runs += made
    errors = sum(int(np.sum(run.measurements.outcome == Outcome.ERROR)) for run in runs)
    sent = sum(len(run.measurements) for run in runs)
    rows.append(row("L4", f"queries lost, of the {sent} of all these runs", "queries", [errors]))
    rows.sort(key=lambda each: str(each["id"]))
    provenance = collect_provenance("make bench-live", packages=("numpy", "highspy", "scipy"))
    write_rows(options.out, provenance, rows)
    print_rows(rows)


if __name__ == "__main__":
    main()
