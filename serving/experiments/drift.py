"""Drift: the mix of tasks moves slowly, or at once, or the volume grows."""

from __future__ import annotations

from pathlib import Path

from planner.experiments.study import Progress
from serving.experiment_runs.request import SIMULATED, Runs
from serving.experiments.live_study import RUN_S, LiveCase, demo_phases, run_live
from serving.setting.setting import Setting

__all__ = ["cases", "run"]

GROWTH = 2.0


def run(
    out_dir: str | Path,
    setting: Setting,
    *,
    seeds: int = 20,
    on_progress: Progress | None = None,
    runs: Runs = SIMULATED,
) -> Path:
    """Writes drift.csv and drift.png: 72 s from the demo's first mix to its second one."""
    title = "accuracy as the load moves"
    return run_live("drift", title, cases(), setting, out_dir, seeds, on_progress, runs)


def cases() -> list[LiveCase]:
    """A straight line between the mixes, a flip half-way, and a load that doubles."""
    first, second = demo_phases()
    half = {"duration_s": RUN_S / 2}
    return [
        LiveCase("mix drifts", (first.model_copy(update={"drift_to_qps": second.rates_qps}),)),
        LiveCase("mix flips", (first.model_copy(update=half), second.model_copy(update=half))),
        LiveCase(
            "volume doubles",
            (first.model_copy(update={"drift_to_qps": first.scaled(GROWTH).rates_qps}),),
        ),
    ]
