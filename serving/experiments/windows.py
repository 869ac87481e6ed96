"""Windows: accuracy and latency against the edges' batch window T_b, as they are measured.

`planner.experiments.windows` has what plans promise; here queries pass the system.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

from planner.experiments.study import Case, Progress, Row, Study, run_study
from serving.experiments.live_study import RUN_S, demo_phases
from serving.experiments.planned_once import PANELS, draw_measured, measure_plans
from serving.runs.request import SIMULATED, Runs
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
    on_progress: Progress | None = None,
    runs: Runs = SIMULATED,
) -> Path:
    """Writes windows-simulated.csv and its figure, or windows-live.csv: the demo's first mix under
    one plan, by the window of the edges."""
    scale = SMALL if runs.live else LARGE
    name = "windows-live" if runs.live else "windows-simulated"
    calm = demo_phases()[0].model_copy(update={"duration_s": scale.run_s})

    def measure(case: Case) -> Iterator[Row]:
        changed = with_window(setting, float(case["case"].removesuffix(" s")))
        return measure_plans(changed, calm, scale.planned_by, case["seed"], runs)

    cases: tuple[Case, ...] = tuple(
        {"experiment": name, "case": f"{window_s:g} s", "seed": seed}
        for window_s, seed in product(scale.windows_s, range(seeds))
    )
    title = "accuracy and latency by the edges' batch window T_b"
    draw = partial(draw_measured, x_label="window T_b of the edges")
    return run_study(Study(name, title, cases, measure, draw, len(PANELS)), out_dir, on_progress)


def with_window(setting: Setting, window_s: float) -> Setting:
    """`setting` with edges that gather queries for `window_s` seconds."""
    nodes = tuple(
        node.model_copy(update={"window_s": window_s}) if node.tier == "edge" else node
        for node in setting.topology.nodes
    )
    return replace(setting, topology=setting.topology.model_copy(update={"nodes": nodes}))
