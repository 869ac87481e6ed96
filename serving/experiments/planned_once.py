"""Runs under one plan that stays: accuracy and latency, for experiments that vary the hierarchy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from cluster.demand import Phase
from planner.experiments.study import Case, Progress, Row, Study, run_study
from planner.policies import Options, solve
from serving.experiment_runs.request import RunRequest, Runs
from serving.experiments.figures import draw_points, values_of
from serving.experiments.intervals import Interval, mean_interval
from serving.experiments.live_study import figures_of
from serving.setting.setting import Setting
from serving.simulation.live_run import LiveRun
from serving.traffic.summary import summarise_run

__all__ = ["run_planned_once"]

PANELS = {
    "accuracy": "accuracy × answered, mean",
    "within_bound": "answered within the bound, share",
    "latency_p95_s": "latency of answers, 95 %, s",
}
"""column -> label of its axis"""


def run_planned_once(
    experiment: str,
    title: str,
    settings: Mapping[str, Setting],
    *,
    x_label: str,
    planned_by: Sequence[str],
    demand: Phase,
    run_s: float,
    out_dir: str | Path,
    seeds: int,
    on_progress: Progress | None,
    runs: Runs,
) -> Path:
    """Write `<experiment>-simulated.csv` and its figure, or `<experiment>-live.csv` of live runs:
    for each of `settings`, by the name of its case, `run_s` seconds of `demand` under the plan of
    each policy in `planned_by`.

    Raises what `run_study` and `runs` raise.
    """
    name = f"{experiment}-{'live' if runs.live else 'simulated'}"
    calm = demand.model_copy(update={"duration_s": run_s})

    def measure(case: Case) -> Iterator[Row]:
        return _measure_plans(settings[case["case"]], calm, planned_by, case["seed"], runs)

    cases: tuple[Case, ...] = tuple(
        {"experiment": name, "case": case, "seed": seed}
        for case, seed in product(settings, range(seeds))
    )
    draw = partial(_draw_measured, x_label=x_label)
    study = Study(name, title, cases, measure, draw, len(PANELS), tuple(planned_by))
    return run_study(study, out_dir, on_progress)


def _measure_plans(
    setting: Setting, phase: Phase, planned_by: Sequence[str], seed: int, runs: Runs
) -> Iterator[Row]:
    """A row a policy of planning: `phase` under its plan for it.

    Latencies in seconds are those of the answers; `bound_s` is the mean of their latency bounds.
    Rows of live runs say how late the generator and the host were, too.
    """
    problem = setting.problem(phase)
    for name in planned_by:
        plan = solve(problem, name, Options()).plan
        run = runs.run(RunRequest(setting, plan, planned_for=phase, phases=(phase,), seed=seed))
        answered = run.measurements.select(run.measurements.answered)
        p50_s, p95_s = np.quantile(answered.latency_s, [0.5, 0.95]) if len(answered) else (0.0, 0.0)
        yield {
            "policy": name,
            **figures_of(run, setting),
            "latency_p50_s": float(p50_s),
            "latency_p95_s": float(p95_s),
            "bound_s": float(answered.bound_s.mean()) if len(answered) else 0.0,
            **(_host_columns(run) if runs.live else {}),
        }


def _host_columns(run: LiveRun) -> Row:
    """What the host had to do with it: the generator's lateness, and the late batches of the node
    that was most often later than the device it emulates (over 1 %, times do not hold)."""
    measured = summarise_run(run.measurements)
    return {
        "lateness_p99_s": measured.generator_lateness_s.p99,
        "late_batches": max(measured.late_batch_share_by_node.values(), default=0.0),
    }


def _draw_measured(rows: Sequence[Row], axes: Any, x_label: str) -> None:
    """One panel for each of `PANELS`: a point a case and policy, with its 95 % interval."""
    for panel, (column, label) in zip(axes, PANELS.items(), strict=True):
        draw_points(rows, panel, partial(_mean, rows, column))
        panel.set_xlabel(x_label)
        panel.set_ylabel(label)


def _mean(rows: Sequence[Row], column: str, case: str, policy: str) -> Interval:
    return mean_interval(values_of(rows, case, policy, column))
