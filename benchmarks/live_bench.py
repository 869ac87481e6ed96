"""What the rows of the live loop share: the demo's loads, runs of them, and what a run shows.

`bench_live.py` runs them in simulated time, `live_rows.py` on a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bound_check import exceeds
from cluster.arrivals import FlashCrowd
from cluster.demand import EVERY_CLIENT, Demand, Phase
from cluster.timeline import TimelineEvent
from planner.plan import Plan
from planner.policies import Options, solve
from serving.experiment_runs.request import RunRequest, Runs
from serving.experiments.intervals import mean_interval
from serving.replan.decision_input import without_nodes
from serving.replan.first_plan import with_homes_for_queues
from serving.replan.options import ReplanOptions
from serving.replan.replanner import Look
from serving.report.regret import card_scores, regret_of
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
from serving.simulation.live_run import LiveRun
from serving.system import Outcome
from serving.traffic.measurement import Measurements

__all__ = [
    "Bench", "Row", "changed_routes", "dispersion", "flip_rows", "in_time_again_s", "kill_edge",
    "lost", "reaction_s", "recovery_s", "row", "say",
]  # fmt: skip

CAPACITY_SHARE = 0.8
CROWD_FACTOR, CROWD_S = 3.0, 15.0
GOODPUT_S, GOODPUT_STEP_S = 5.0, 1.0
RECOVERED = 0.95
IN_TIME, IN_TIME_STEP_S = 0.99, 0.1
Row = dict[str, object]


@dataclass(frozen=True, eq=False)
class Bench:
    """A setting, the demo's loads for runs of `run_s` seconds, and where runs take place."""

    setting: Setting
    demand: Demand
    bursty: Phase
    """one phase at the demo's mean rates, in bursts"""
    seeds: range
    run_s: float
    runs: Runs

    def plan_for(self, phase: Phase, routing: RoutingMode) -> Plan:
        """What runs of `phase` start with: `certified`, for what a demand file says of it, as
        `testbed plan --routing` makes it."""
        problem = self.setting.problem(phase)
        key = problem.digest, routing
        if key not in self._plans:
            solution = solve(problem, "certified", Options())
            if routing is RoutingMode.PENALTY:
                solution = with_homes_for_queues(self.setting, phase, solution, Options())
            self._plans[key] = solution.plan
        return self._plans[key]

    @cached_property
    def _plans(self) -> dict[tuple[str, RoutingMode], Plan]:
        return {}

    def phase(self, duration_s: float | None = None) -> Phase:
        """The demo's first phase, Poisson."""
        return self.demand.phases[0].model_copy(update={"duration_s": duration_s or self.run_s})

    def flip(self, flip_s: float) -> list[Phase]:
        """The mix of the first phase for `flip_s`, then at once that of the second for as long."""
        first, second = self.demand.phases[:2]
        return [each.model_copy(update={"duration_s": flip_s}) for each in (first, second)]

    def drift(self) -> list[Phase]:
        """From the mix of the first phase to that of the second in a straight line."""
        other = self.demand.phases[1].rates_qps
        return [self.phase().model_copy(update={"drift_to_qps": other})]

    def flash(self) -> list[Phase]:
        """Three times the load for a quarter of a minute."""
        crowd = FlashCrowd(
            kind="flash_crowd", at_s=self.run_s / 3, rise_s=2.0, hold_s=CROWD_S, factor=CROWD_FACTOR
        )
        return [self.phase().model_copy(update={"arrivals": {EVERY_CLIENT: crowd}})]

    def bursts(self) -> list[Phase]:
        """The mean load of the first phase in bursts."""
        return [self.bursty.model_copy(update={"duration_s": self.run_s})]

    def run(
        self,
        phases: Sequence[Phase],
        seed: int,
        options: ReplanOptions | None,
        timeline: Sequence[TimelineEvent] = (),
        routing: RoutingMode = RoutingMode.PENALTY,
    ) -> LiveRun:
        """One run. Raises `AssertionError` if it scored above the clairvoyant's bound."""
        run = self.runs.run(
            RunRequest(
                self.setting,
                self.plan_for(phases[0], routing),
                planned_for=phases[0],
                phases=tuple(phases),
                seed=seed,
                options=options,
                timeline=tuple(timeline),
                routing=routing,
            )
        )
        self.reached(run)
        return run

    def reached(self, run: LiveRun) -> float:
        """Accuracy in time / what any sequence of plans could have reached (F21), faults unknown
        to the bound. Raises `AssertionError` above 1."""
        if run not in self._reached:
            regret = regret_of(run.measurements, self.setting)
            assert regret is not None
            assert not exceeds(regret), f"{regret} is above the clairvoyant's bound"
            self._reached[run] = regret.reached
        return self._reached[run]

    @cached_property
    def _reached(self) -> dict[LiveRun, float]:
        return {}

    def at_capacity(self) -> list[Phase]:
        """The bursts around a mean load of `CAPACITY_SHARE` of the largest that a plan serves
        whole."""
        phase = self.bursts()[0]

        def served(factor: float) -> bool:
            load = Phase(duration_s=1.0, rates_qps=phase.scaled(factor).rates_qps)
            solution = solve(self.setting.problem(load), "certified", Options())
            return solution.evaluation.summary().shed_share < 0.01

        low, high = 0.25, 16.0
        while high / low > 1.05:
            middle = float(np.sqrt(low * high))
            low, high = (middle, high) if served(middle) else (low, middle)
        return [phase.scaled(CAPACITY_SHARE * low)]


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


def say(found: Row) -> None:
    """Progress, at once."""
    print(f"{found['id']}: {found['value']:.4f} {found['unit']}", flush=True)


def lost(runs: Sequence[LiveRun]) -> int:
    """Queries that were neither answered nor refused."""
    return sum(int(np.sum(run.measurements.outcome == Outcome.ERROR)) for run in runs)


def dispersion(run: LiveRun) -> float:
    """Variance ÷ mean of the counts of a second."""
    rows = run.measurements
    seconds = int(np.ceil(rows.run.duration_s))
    counts = np.bincount(rows.scheduled_s.astype(int), minlength=seconds)
    return float(counts.var() / counts.mean())


def reaction_s(run: LiveRun, flip_s: float, *, models: bool = False) -> float:
    """From a flip of the mix until it is answered: routes that were decided about the changed load
    are in force, or those in force were found to be best for it. Shares are decided about first,
    models seconds later; with `models`, until they were decided about too. All that is left of the
    run if neither happens."""
    answered_s = []
    for look in run.looks:
        made = look.made
        if made is None or made.overtaken or made.fault or not _knows_it(run, look, flip_s):
            continue
        if models and made.question.given.shares_only:
            continue
        in_force_s = [each.in_force_s for each in run.changes if each.look is look]
        if in_force_s:
            answered_s.append(in_force_s[0])
        elif not look.steps:
            answered_s.append(look.at_s + made.took_s)
    return min(answered_s, default=run.measurements.run.duration_s) - flip_s


def flip_rows(runs: Sequence[LiveRun], flip_s: float, suffix: str = "") -> list[Row]:
    """L3: the median and the worst of `runs`, each with a flip of the mix after `flip_s`."""
    changed = sum(changed_routes(run, flip_s) for run in runs)
    stated = f"{len(runs)} flips of the mix, {changed} of them answered by new routes"
    whats = {
        "": "until new routes are in force or those in force are found to be best",
        "models.": "until models were decided about too, and loaded where that gains",
    }
    return [
        row(f"L3.{kind}{name}{suffix}", f"{stated}: {what}, {name}", "s",
            [reaction_s(run, flip_s, models=bool(kind)) for run in runs], pick)
        for kind, what in whats.items()
        for name, pick in (("median", "median"), ("worst", "max"))
    ]  # fmt: skip


def changed_routes(run: LiveRun, flip_s: float) -> bool:
    """Whether a flip of the mix was answered with anything new."""
    return any(_knows_it(run, each.look, flip_s) for each in run.changes)


def _knows_it(run: LiveRun, look: Look, flip_s: float) -> bool:
    """Whether a change of the load has been found by `look` that was not before the flip."""
    before = [
        earlier.estimate.changes
        for earlier in run.looks
        if earlier.at_s < flip_s and earlier.estimate is not None
    ]
    if look.at_s < flip_s or look.estimate is None:
        return False
    return look.estimate.changes > max(before, default=0)


def kill_edge(setting: Setting, at_s: float) -> TimelineEvent:
    """The first edge's process ends."""
    return TimelineEvent(at_s=at_s, kill_node=setting.topology.edges[0].name)


def in_time_again_s(rows: Measurements, kill_s: float) -> float:
    """From the edge's end until the answers to what comes from then on keep their bound: 99 of 100
    of them over a second. Refusals are left to goodput."""
    end_s = rows.run.duration_s
    for begin_s in np.arange(kill_s, end_s, IN_TIME_STEP_S):
        inside = (rows.scheduled_s >= begin_s) & (rows.scheduled_s < begin_s + 1.0)
        answered = inside & rows.answered
        if answered.any() and rows.in_time[answered].mean() >= IN_TIME:
            return float(begin_s - kill_s)
    return end_s - kill_s


def recovery_s(bench: Bench, rows: Measurements, kill_s: float) -> float:
    """From the edge's end until the seconds that follow score nearly as much as any plan without it
    could promise. An answer scores the accuracy of its model's card, as in plans."""
    end_s = rows.run.duration_s
    edge = bench.setting.topology.edges[0].name
    problem = without_nodes(bench.setting.problem(bench.phase()), {edge})
    wanted = RECOVERED * solve(problem, "certified", Options()).certificate.upper_bound
    score_q = card_scores(rows, bench.setting)
    for begin_s in np.arange(kill_s, end_s - GOODPUT_S, GOODPUT_STEP_S):
        inside = (rows.scheduled_s >= begin_s) & (rows.scheduled_s < begin_s + GOODPUT_S)
        if score_q[inside].mean() >= wanted:
            return float(begin_s - kill_s)
    return end_s - kill_s
