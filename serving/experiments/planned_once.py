"""Runs under one plan that stays: accuracy and latency, for experiments that vary the hierarchy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from cluster.demand import Phase
from planner.experiments.study import Row
from planner.policies import Options, solve
from serving.experiments.figures import draw_points, values_of
from serving.experiments.intervals import Interval, mean_interval
from serving.experiments.live_study import figures_of
from serving.runs.request import RunRequest, Runs
from serving.setting.setting import Setting
from serving.simulation.live_run import LiveRun
from serving.traffic.summary import summarise_run

__all__ = ["PANELS", "draw_measured", "measure_plans"]

PANELS = {
    "accuracy": "accuracy × answered, mean",
    "within_bound": "answered within the bound, share",
    "latency_p95_s": "latency of answers, 95 %, s",
}
"""column -> label of its axis"""


def measure_plans(
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


def draw_measured(rows: Sequence[Row], axes: Any, x_label: str) -> None:
    """One panel for each of `PANELS`: a point a case and policy, with its 95 % interval."""
    for panel, (column, label) in zip(axes, PANELS.items(), strict=True):
        draw_points(rows, panel, partial(_mean, rows, column))
        panel.set_xlabel(x_label)
        panel.set_ylabel(label)


def _mean(rows: Sequence[Row], column: str, case: str, policy: str) -> Interval:
    return mean_interval(values_of(rows, case, policy, column))
