"""What every experiment with moving loads does: each seed of a case, once under every policy.

All policies of a seed get the same arrivals, begin with the same plan, and spill over. Where the
runs take place says `Runs`: in simulated time, or on a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from cluster.demand import Demand, Phase
from cluster.specs import SPECS
from cluster.timeline import TimelineEvent
from planner.experiments.study import Case, Progress, Row, Study, run_study
from planner.policies import Options, solve
from planner.programs.clairvoyant import Health
from serving.experiment_runs.request import SIMULATED, RunRequest, Runs
from serving.experiments.figures import FROZEN, draw_policies
from serving.experiments.health import health_of
from serving.experiments.oracle import oracle_policy
from serving.replan.change_policy import (
    REACTIVE,
    ChangePolicy,
    forecast_policy,
    periodic_policy,
)
from serving.replan.decision_input import DecisionOptions
from serving.replan.options import ReplanOptions
from serving.report.regret import PERIOD_S, regret_of
from serving.setting.setting import Setting
from serving.simulation.live_run import LiveRun
from serving.simulation.simulate import IMAGES
from serving.traffic.schedule import build_schedule

__all__ = [
    "EVERY_S", "POLICIES", "RUN_S", "WITH_FORECAST", "LiveCase", "demo_phases",
    "figures_of", "file_name", "run_live",
]  # fmt: skip

RUN_S = 72.0
EVERY_S = 12.0
"""between two plans of the policies that plan by the clock"""
POLICIES = (FROZEN, "periodic", "reactive", "oracle")
WITH_FORECAST = (FROZEN, "periodic", "reactive", "forecast", "oracle")


@dataclass(frozen=True, eq=False)
class LiveCase:
    """A load, what happens meanwhile, and what planning believes of it.

    Policies that plan by the clock do so every `every_s` seconds. `believed` gives the costs and
    links that plans are made with, `expected` the load that the first plan is made for, both by
    seed; without them both are the true ones, and the load that of the first phase. `season_s` is
    the time after which the load repeats itself: the policy `forecast` needs it, and takes a period
    to be one of `season_periods` equal parts of it.
    """

    name: str
    phases: tuple[Phase, ...]
    timeline: tuple[TimelineEvent, ...] = ()
    policies: tuple[str, ...] = POLICIES
    every_s: float = EVERY_S
    season_s: float | None = None
    season_periods: int = 8
    believed: Callable[[Setting, int], Setting] | None = None
    expected: Callable[[Phase, int], Phase] | None = None


def demo_phases() -> tuple[Phase, Phase]:
    """The two mixes of the demo's demand, Poisson, for the length of a run each."""
    first, second = Demand.load(SPECS / "demo-demand.yaml").phases[:2]
    return (
        first.model_copy(update={"duration_s": RUN_S}),
        second.model_copy(update={"duration_s": RUN_S}),
    )


def run_live(
    name: str,
    title: str,
    cases: Sequence[LiveCase],
    setting: Setting,
    out_dir: str | Path,
    seeds: int,
    on_progress: Progress | None,
    runs: Runs = SIMULATED,
) -> Path:
    """Measure `cases` with each of `seeds` seeds, and write `<name>.csv` and `<name>.png`, which
    are called `<name>-live` after live runs.

    Raises what `run_study` and `runs` raise.
    """
    known = {case.name: case for case in cases}

    def measure(case: Case) -> Iterator[Row]:
        return measure_case(known[case["case"]], setting, case["seed"], runs)

    told: tuple[Case, ...] = tuple(
        {"experiment": name, "case": case, "seed": seed}
        for case, seed in product(known, range(seeds))
    )
    study = Study(file_name(name, runs), title, told, measure, draw_policies, 2)
    return run_study(study, out_dir, on_progress)


def file_name(experiment: str, runs: Runs) -> str:
    """Of what an experiment writes, without suffix."""
    return f"{experiment}-live" if runs.live else experiment


def measure_case(
    case: LiveCase, setting: Setting, seed: int, runs: Runs = SIMULATED
) -> Iterator[Row]:
    """A row a policy."""
    believed = case.believed(setting, seed) if case.believed else setting
    first = case.expected(case.phases[0], seed) if case.expected else case.phases[0]
    plan = solve(believed.problem(first), "certified", Options()).plan
    duration_s = sum(phase.duration_s for phase in case.phases)
    health = health_of(setting.problem(case.phases[0]), case.timeline, duration_s, PERIOD_S)
    policies = {name: policy_of(name, case, seed) for name in case.policies}
    for name, policy in policies.items():
        request = RunRequest(
            setting,
            plan,
            planned_for=first,
            phases=case.phases,
            seed=seed,
            options=options_of(policy) if policy else None,
            policy=policy or REACTIVE,
            timeline=case.timeline,
            believed=setting if name == "oracle" else believed,
        )
        run = runs.run(request)
        yield {"policy": name, **figures_of(run, setting, health)}


def figures_of(run: LiveRun, setting: Setting, health: Health | None = None) -> Row:
    """The columns of a run on `setting`, with the `health` of its nodes for the bound."""
    rows = run.measurements
    regret = regret_of(rows, setting, health=health)
    return {
        "accuracy": run.accuracy,
        "answered": run.answered_share,
        "within_bound": float(rows.in_time.mean()) if len(rows) else 0.0,
        "models_moved": run.models_moved,
        "changes": len(run.changes),
        "reached": regret.reached if regret else 1.0,
    }


def policy_of(name: str, case: LiveCase, seed: int) -> ChangePolicy | None:
    """A policy of change by its name; None for the frozen plan. Raises `ValueError` for a forecast
    of a case without a season, and for other names."""
    if name == FROZEN:
        return None
    if name == "reactive":
        return REACTIVE
    if name == "periodic":
        return periodic_policy(case.every_s)
    if name == "oracle":
        return oracle_policy(
            build_schedule(case.phases, seed, IMAGES, timeline=case.timeline), case.every_s
        )
    if name == "forecast" and case.season_s is not None:
        return forecast_policy(case.season_s / case.season_periods, case.season_periods)
    raise ValueError(f"case {case.name!r}: no policy {name!r}, or no season to forecast by")


def options_of(policy: ChangePolicy) -> ReplanOptions:
    """As of the live loop, but: what is known of a period is not known of what comes after it, so a
    change must pay within the period; and the oracle takes what gains at all, as it has no error to
    be sure against."""
    options = DecisionOptions()
    if policy.every_s is not None:
        options = options.model_copy(update={"horizon_s": policy.every_s})
    if policy.name == "oracle":
        options = options.model_copy(update={"sureness": 0.5, "draws": 2})
    return ReplanOptions(decision=options)
