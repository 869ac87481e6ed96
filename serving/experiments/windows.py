"""Windows: accuracy and latency against the edges' batch window T_b, as they are measured.

`planner.experiments.windows` has what plans promise; here queries pass the simulated system.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from planner.experiments.study import Case, Progress, Row, Study, run_study
from planner.policies import Options, solve
from serving.experiments.figures import draw_points, values_of
from serving.experiments.intervals import Interval, mean_interval
from serving.experiments.live_study import demo_phases, figures_of
from serving.setting.setting import Setting
from serving.simulation.live_run import simulate_live

__all__ = ["run", "with_window"]

NAME = "windows-simulated"
WINDOWS_S = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
PLANNED_BY = ("certified", "baj3o", "no-batching", "all-local")


def run(
    out_dir: str | Path, setting: Setting, *, seeds: int = 20, on_progress: Progress | None = None
) -> Path:
    """Writes windows-simulated.csv and windows-simulated.png: 72 s of the demo's first mix, under
    one plan. Latencies are those of the answers; `bound_s` is the mean of their latency bounds.
    """

    def measure(case: Case) -> Iterator[Row]:
        return measure_window(setting, float(case["case"].removesuffix(" s")), case["seed"])

    cases: tuple[Case, ...] = tuple(
        {"experiment": NAME, "case": f"{window_s:g} s", "seed": seed}
        for window_s, seed in product(WINDOWS_S, range(seeds))
    )
    title = "accuracy and latency by the edges' batch window T_b"
    return run_study(Study(NAME, title, cases, measure, _draw, 3), out_dir, on_progress)


def measure_window(setting: Setting, window_s: float, seed: int) -> Iterator[Row]:
    """A row a policy of planning."""
    changed = with_window(setting, window_s)
    calm, _ = demo_phases()
    for name in PLANNED_BY:
        plan = solve(changed.problem(calm), name, Options()).plan
        run = simulate_live(changed, plan, (calm,), None, seed=seed)
        answered = run.measurements.select(run.measurements.answered)
        p50_s, p95_s = np.quantile(answered.latency_s, [0.5, 0.95]) if len(answered) else (0.0, 0.0)
        yield {
            "policy": name,
            **figures_of(run, changed),
            "latency_p50_s": float(p50_s),
            "latency_p95_s": float(p95_s),
            "bound_s": float(answered.bound_s.mean()) if len(answered) else 0.0,
        }


def with_window(setting: Setting, window_s: float) -> Setting:
    """`setting` with edges that gather queries for `window_s` seconds."""
    nodes = tuple(
        node.model_copy(update={"window_s": window_s}) if node.tier == "edge" else node
        for node in setting.topology.nodes
    )
    return replace(setting, topology=setting.topology.model_copy(update={"nodes": nodes}))


def _draw(rows: Sequence[Row], axes: Any) -> None:
    panels = {
        "accuracy": "accuracy × answered, mean",
        "within_bound": "answered within the bound, share",
        "latency_p95_s": "latency of answers, 95 %, s",
    }
    for panel, (column, label) in zip(axes, panels.items(), strict=True):
        draw_points(rows, panel, partial(_mean, rows, column))
        panel.set_xlabel("window T_b of the edges")
        panel.set_ylabel(label)


def _mean(rows: Sequence[Row], column: str, case: str, policy: str) -> Interval:
    return mean_interval(values_of(rows, case, policy, column))
