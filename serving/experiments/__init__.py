"""Experiments on the system, simulated or live: what policies make of loads and faults that move.

Each `run(out_dir, setting, ...)` writes a CSV and a figure, as those of `planner.experiments` do.
`runs` says where the runs take place (`serving.experiment_runs`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from serving.experiments import (
    bursts,
    drift,
    failure,
    flash_crowd,
    forecast,
    heterogeneity,
    noise,
    thrash,
    windows,
)

__all__ = ["EXPERIMENTS", "LIVE_EXPERIMENTS"]

_MOVING: dict[str, Callable[..., Path]] = {
    "drift": drift.run,
    "noise": noise.run,
    "bursts": bursts.run,
    "failure": failure.run,
    "flash-crowd": flash_crowd.run,
    "thrash": thrash.run,
    "forecast": forecast.run,
}
EXPERIMENTS: dict[str, Callable[..., Path]] = {
    **_MOVING,
    "windows-simulated": windows.run,
    "heterogeneity-simulated": heterogeneity.run,
}
"""in simulated time"""

LIVE_EXPERIMENTS: dict[str, Callable[..., Path]] = {
    **_MOVING,
    "windows": windows.run,
    "heterogeneity": heterogeneity.run,
}
"""on a cluster, where each run takes as long as its traffic"""
