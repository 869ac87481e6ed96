"""What was predicted of a running cluster beside what came of it: rows T1 to T5 and T10.

Each run deploys a plan for the traffic that follows, drives it, and is judged as `testbed report`
does (`serving.verdicts`): batch times against the profiles, use and accuracy against the plan, and
latency against a simulation of the same queries. A run before all others corrects the profiles, as
`testbed calibrate` does. Rows end in `own` on the devices of this machine and in `emulated` on
slower ones that it emulates, where its own pace counts less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cluster.arrivals import ReplayArrivals
from cluster.demand import EVERY_CLIENT, Demand, Phase
from cluster.specs import SPECS
from demo_hierarchy import on_devices, runs_on_cluster
from planner.policies import Options, solve
from profiling.calibrate import corrected_profiles
from profiling.shared_hosts import shared_hosts
from serving.experiment_runs.request import RunRequest, Runs
from serving.setting.setting import Setting
from serving.traffic.measurement import Measurements
from serving.traffic.summary import RunSummary, summarise_run
from serving.verdicts.judge import PlannedFor, judge_run
from serving.verdicts.observed import served_by, way_cost
from serving.verdicts.verdict import Quantity, Source, Verdict, failed
from serving_rows import median_row

__all__ = [
    "PARTS", "Judged", "Trials", "latency_rows", "light_rows", "measure", "prediction_rows",
    "rows_of", "spread_rows", "traffic", "use_rows",
]  # fmt: skip

PARTS = ("T1.unloaded", "T3", "T4", "T10")
"""rows that can be measured by themselves"""
RUN_S = 40.0
CALIBRATING_SEED = 99
UNLOADED = 0.05
"""of the planned load: batches are of one query then, and nodes do not wait for each other"""
TRACE_SPEED = 300.0
"""recorded seconds a second"""


@dataclass(frozen=True)
class Judged:
    """One run and the verdicts on it."""

    summary: RunSummary
    verdicts: tuple[Verdict, ...]

    def errors(self, quantity: Quantity, source: Source | None = None) -> list[float]:
        """Of each prediction of `quantity`, by any source unless one is named."""
        return [
            each.error for each in self.verdicts
            if each.quantity is quantity and source in (None, each.source)
        ]  # fmt: skip

    @property
    def kept_share(self) -> float:
        """Of the predictions, those that did not fail."""
        return 1.0 - len(failed(self.verdicts)) / len(self.verdicts)


@dataclass
class Trials:
    """Where runs take place, and what was driven so far, by kind of traffic."""

    setting: Setting
    runs: Runs
    found: dict[str, list[Judged]] = field(default_factory=dict)
    profiled: Setting = field(init=False)
    """with profiles that no run has corrected"""

    def __post_init__(self) -> None:
        self.profiled = self.setting

    def calibrate(self, phase: Phase) -> None:
        """A run of `phase` that corrects the profiles, as `testbed calibrate` does."""
        rows = self.drive("as profiled", phase, CALIBRATING_SEED)
        before = self.setting.profiles
        hosts = shared_hosts(before)
        served, way = served_by(rows, hosts), way_cost(rows, hosts)
        profiles = corrected_profiles(before, served, before.provenance, way)
        self.setting = replace(self.setting, profiles=profiles)
        if way is not None:
            print(f"  calibrated: door {way.door_s:.5f} s, hop {way.hop_s:.5f} s", flush=True)

    def drive(
        self, kind: str, phase: Phase, seed: int, planned_for: Phase | None = None
    ) -> Measurements:
        """One run of `phase` under the plan for it, or for another load."""
        wanted = planned_for or phase
        plan = solve(self.setting.problem(wanted), "certified", Options()).plan
        run = self.runs.run(RunRequest(self.setting, plan, wanted, (phase,), seed))
        judged = judge_run(run.measurements, PlannedFor(self.setting, plan, wanted))
        summary = summarise_run(run.measurements)
        self.found.setdefault(kind, []).append(Judged(summary, judged))
        if kind == "unloaded":
            planned = PlannedFor(self.profiled, plan, wanted)
            of_profiled = Judged(summary, judge_run(run.measurements, planned))
            self.found.setdefault("unloaded as profiled", []).append(of_profiled)
        print(
            f"  {kind}: accuracy {summary.accuracy:.3f}, in time {summary.within_bound_share:.3f}, "
            f"{len(failed(judged))} of {len(judged)} predictions failed",
            flush=True,
        )
        for verdict in failed(judged)[:3]:
            print(f"    {verdict.quantity} {verdict.where}: {verdict.error:+.3f}, {verdict.cause}",
                  flush=True)  # fmt: skip
        return run.measurements


def prediction_rows(
    setting: Setting,
    devices: str,
    repetitions: int,
    trace: Path | None,
    only: str | None = None,
) -> list[dict[str, object]]:
    """The rows on a cluster of their own, with its devices or those of
    `cluster/specs/emulated.yaml`, whose loads are half as large; or the `only` ones of `PARTS`."""
    setting, demand = on_devices(setting, devices)
    with runs_on_cluster("make bench-prediction") as runs:
        trials, kinds = Trials(setting, runs), traffic(demand.phases[0], trace)
        if only == "T1.unloaded":
            measure(trials, {}, repetitions, calm=kinds["poisson"])
            return light_rows(trials.found)
        if only == "T3":
            alone = {"poisson": kinds["poisson"]}
            measure(trials, alone, repetitions, calm=kinds["poisson"], light=False)
            return use_rows(trials.found["poisson"], devices)
        if only == "T4":
            measure(trials, kinds, repetitions, calm=kinds["poisson"], light=False)
            return latency_rows(trials.found, devices)
        if only is None:
            measure(trials, kinds, repetitions, calm=kinds["poisson"])
        if devices == "emulated":
            for _ in range(repetitions):
                trials.drive("again", kinds["poisson"], 0)
    rows = rows_of(trials.found, devices) if only is None else []
    return rows + spread_rows(trials.found.get("again", ()))


def traffic(phase: Phase, trace: Path | None) -> dict[str, Phase]:
    """The mean load of `phase` for `RUN_S`, by kind of arrivals."""
    calm = phase.model_copy(update={"duration_s": RUN_S})
    bursty = Demand.load(SPECS / "bursty-demand.yaml").phases[0]
    kinds = {"poisson": calm, "mmpp": calm.model_copy(update={"arrivals": bursty.arrivals})}
    if trace is not None:
        replay = ReplayArrivals(
            kind="replay", file=str(trace), speed=TRACE_SPEED, start_s="random", repeat=True
        )
        kinds["trace"] = calm.model_copy(update={"arrivals": {EVERY_CLIENT: replay}})
    return kinds


def measure(
    trials: Trials,
    kinds: Mapping[str, Phase],
    repetitions: int,
    *,
    calm: Phase,
    light: bool = True,
) -> None:
    """Every kind of traffic in turn, so that a slow spell of the machine meets all alike; before
    each turn a twentieth of `calm`, if `light`."""
    trials.calibrate(calm)
    for seed in range(repetitions):
        if light:
            trials.drive("unloaded", calm.scaled(UNLOADED), seed, planned_for=calm)
        for kind, phase in kinds.items():
            trials.drive(kind, phase, seed)


def rows_of(found: Mapping[str, Sequence[Judged]], devices: str) -> list[dict[str, object]]:
    """T1 to T5 and T10 of the runs by kind of traffic."""
    calm = found["poisson"]
    own = devices == "own"
    rows: list[dict[str, object]] = []

    def add(name: str, what: str, unit: str, values: Sequence[float]) -> None:
        rows.append(median_row(name, f"{what}; {len(values)} runs of {RUN_S:g} s", unit, values))

    def off(run: Judged, quantity: Quantity) -> float:
        return float(np.median(np.abs(run.errors(quantity)))) if run.errors(quantity) else 0.0

    batch = "batch latency, median absolute error over models and nodes ÷ the profile"
    if own:
        add(
            "T1.profiled",
            f"{batch}, which no run has corrected: at the planned load",
            "share",
            [off(run, Quantity.BATCH_LATENCY) for run in found["as profiled"]],
        )
        rows += light_rows(found)
    add("T1.loaded" if own else "T1.emulated", f"{batch}: at the planned load", "share",
        [off(run, Quantity.BATCH_LATENCY) for run in calm])  # fmt: skip
    suffix = "" if own else ".emulated"
    queries = sum(run.summary.queries for run in calm)
    add(
        f"T2.mean{suffix}",
        f"accuracy, measured - predicted, {queries} queries together",
        "accuracy",
        [float(np.mean([run.errors(Quantity.ACCURACY)[0] for run in calm]))],
    )
    by_task = np.mean([run.errors(Quantity.TASK_ACCURACY) for run in calm], axis=0)
    add(f"T2.worst{suffix}", "the same, the task that is furthest off", "accuracy",
        [float(np.abs(by_task).max())])  # fmt: skip
    rows += use_rows(calm, devices)
    rows += latency_rows(found, devices)
    for name, kind in (("poisson", "poisson"), ("bursty", "mmpp")):
        add(f"T5.{name}{suffix}", f"answered within the bound, of the answers, {kind}", "share",
            [run.summary.deadline_met_share or 0.0 for run in found[kind]])  # fmt: skip
    add(f"T.held{suffix}", "predictions that did not fail, of all that a Poisson run is judged by",
        "share", [run.kept_share for run in calm])  # fmt: skip
    if not own:
        late = [max(run.summary.late_batch_share_by_node.values(), default=0.0)
                for runs in found.values() for run in runs]  # fmt: skip
        add("T.late", "batches of a node that came later than from its device, most of a run",
            "share", late)  # fmt: skip
    return rows


def latency_rows(found: Mapping[str, Sequence[Judged]], devices: str) -> list[dict[str, object]]:
    """T4 of the kinds of traffic that were driven."""
    rows: list[dict[str, object]] = []

    def add(name: str, what: str, values: Sequence[float]) -> None:
        said = f"{what}; {len(values)} runs of {RUN_S:g} s"
        rows.append(median_row(f"T4.{devices}_{name}", said, "share", values))

    quantities = {
        "p50": (Quantity.LATENCY_P50, "latency, median"),
        "p95": (Quantity.LATENCY_P95, "latency, 95th percentile"),
    }
    for kind in ("poisson", "mmpp", "trace"):
        if kind not in found:
            continue
        for name, (quantity, words) in quantities.items():
            what = f"{kind}: {words}, simulated beside measured, absolute error ÷ simulated"
            add(f"{kind}_{name}", what, [abs(run.errors(quantity)[0]) for run in found[kind]])
        what = f"{kind}: share refused, absolute error"
        shed = Quantity.SHED_SHARE
        add(f"{kind}_shed", what,
            [abs(run.errors(shed, Source.SIMULATION)[0]) for run in found[kind]])  # fmt: skip
    return rows


def use_rows(calm: Sequence[Judged], devices: str) -> list[dict[str, object]]:
    """T3. What comes in a run scatters around the planned load, in many runs together less."""
    use_by_run = np.array([run.errors(Quantity.UTILIZATION) for run in calm])
    name, what = f"T3.{devices}", "utilization of a node, absolute error, of the node furthest off"
    runs = f"{len(calm)} runs of {RUN_S:g} s"
    return [
        median_row(name, f"{what}; {runs} together", "share",
                   [float(np.abs(use_by_run.mean(axis=0)).max())]),
        median_row(f"{name}_run", f"{what}; each of {runs}", "share",
                   np.abs(use_by_run).max(axis=1).tolist()),
    ]  # fmt: skip


def light_rows(found: Mapping[str, Sequence[Judged]]) -> list[dict[str, object]]:
    """T1 at a twentieth of the load, of profiles that no run has corrected, and that one under the
    load has."""
    rows = []
    for name, kind, which in (
        ("T1.unloaded", "unloaded as profiled", "which no run has corrected"),
        ("T1.unloaded_corrected", "unloaded", "which a run under the planned load has corrected"),
    ):
        runs = found[kind]
        what = (
            f"batch latency, median absolute error over models and nodes ÷ the profile, {which}: "
            f"at {UNLOADED:.0%} of the load; {len(runs)} runs of {RUN_S:g} s together"
        )
        off = _off_together(runs, Quantity.BATCH_LATENCY)
        rows.append(median_row(name, what, "share", [off]))
    return rows


def _off_together(runs: Sequence[Judged], quantity: Quantity) -> float:
    """The median over places of the absolute error there, in the median of the runs."""
    errors: dict[str, list[float]] = {}
    for run in runs:
        for each in run.verdicts:
            if each.quantity is quantity:
                errors.setdefault(each.where, []).append(each.error)
    return float(np.median([abs(float(np.median(there))) for there in errors.values()]))


def spread_rows(runs: Sequence[Judged]) -> list[dict[str, object]]:
    """T10 of runs of the same queries."""
    if not runs:
        return []
    accuracy = [run.summary.accuracy for run in runs]
    p95_s = [run.summary.latency_s.p95 for run in runs if run.summary.latency_s]
    spread = f"largest - smallest of {len(runs)} runs of the same queries"
    return [
        median_row("T10.accuracy", f"accuracy x answered, {spread}", "accuracy",
                   [max(accuracy) - min(accuracy)]),
        median_row("T10.p95", f"95th percentile of latency, {spread}, ÷ the median", "share",
                   [(max(p95_s) - min(p95_s)) / float(np.median(p95_s))]),
    ]  # fmt: skip
