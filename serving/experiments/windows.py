"""Windows: accuracy and latency against the edges' batch window T_b, as they are measured.

`planner.experiments.windows` has what plans promise; here queries pass the system.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from planner.experiments.study import Progress, compared
from serving.experiment_runs.request import SIMULATED, Runs
from serving.experiments.live_study import RUN_S, demo_phases
from serving.experiments.planned_once import run_planned_once
from serving.setting.setting import Setting

__all__ = ["run", "with_window"]


@dataclass(frozen=True)
class WindowsScale:
    """Which windows, which plans, and how long each run drives the demo's first mix."""

    windows_s: tuple[float, ...]
    planned_by: tuple[str, ...]
    run_s: float


LARGE = WindowsScale(
    (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6),
    ("certified", "baj3o", "no-batching", "all-local"),
    RUN_S,
)
SMALL = WindowsScale((0.05, 0.2, 0.8), ("certified", "baj3o"), 36.0)
"""live, where a run takes as long as its traffic, and other windows need other nodes"""


def run(
    out_dir: str | Path,
    setting: Setting,
    *,
    seeds: int = 20,
    also: Sequence[str] = (),
    on_progress: Progress | None = None,
    runs: Runs = SIMULATED,
) -> Path:
    """Writes windows-simulated.csv and its figure, or windows-live.csv: the demo's first mix under
    one plan, by the window of the edges. The policies `also` plan beside ours."""
    scale = SMALL if runs.live else LARGE
    return run_planned_once(
        "windows",
        "accuracy and latency by the edges' batch window T_b",
        {f"{window_s:g} s": with_window(setting, window_s) for window_s in scale.windows_s},
        x_label="window T_b of the edges",
        planned_by=compared(scale.planned_by, also),
        demand=demo_phases()[0],
        run_s=scale.run_s,
        out_dir=out_dir,
        seeds=seeds,
        on_progress=on_progress,
        runs=runs,
    )


def with_window(setting: Setting, window_s: float) -> Setting:
    """`setting` with edges that gather queries for `window_s` seconds."""
    nodes = tuple(
        node.model_copy(update={"window_s": window_s}) if node.tier == "edge" else node
        for node in setting.topology.nodes
    )
    return replace(setting, topology=setting.topology.model_copy(update={"nodes": nodes}))
