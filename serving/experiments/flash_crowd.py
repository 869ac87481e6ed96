"""Flash crowd: several times the load for a quarter of a minute."""

from __future__ import annotations

from pathlib import Path

from cluster.arrivals import FlashCrowd
from cluster.demand import EVERY_CLIENT
from planner.experiments.study import Progress
from serving.experiment_runs.request import SIMULATED, Runs
from serving.experiments.live_study import LiveCase, demo_phases, run_live
from serving.setting.setting import Setting

__all__ = ["cases", "run"]

FACTORS = (2.0, 3.0, 5.0)


def run(
    out_dir: str | Path,
    setting: Setting,
    *,
    seeds: int = 20,
    on_progress: Progress | None = None,
    runs: Runs = SIMULATED,
) -> Path:
    """Writes flash-crowd.csv and flash-crowd.png: a crowd from 24 s to 43 s of 72 s."""
    title = "accuracy with a crowd of 15 s"
    return run_live("flash-crowd", title, cases(), setting, out_dir, seeds, on_progress, runs)


def cases() -> list[LiveCase]:
    """By how many times the load the crowd brings."""
    calm, _ = demo_phases()
    found = []
    for factor in FACTORS:
        crowd = FlashCrowd(kind="flash_crowd", at_s=24.0, rise_s=2.0, hold_s=15.0, factor=factor)
        phase = calm.model_copy(update={"arrivals": {EVERY_CLIENT: crowd}})
        found.append(LiveCase(f"{factor:g} times the load", (phase,)))
    return found
