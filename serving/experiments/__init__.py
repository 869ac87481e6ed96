"""Experiments in simulated time: what policies of change make of loads and faults that move.

Each `run(out_dir, setting, ...)` writes a CSV and a figure, as those of `planner.experiments` do.
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
    noise,
    thrash,
    windows,
)

__all__ = ["EXPERIMENTS"]

EXPERIMENTS: dict[str, Callable[..., Path]] = {
    "drift": drift.run,
    "noise": noise.run,
    "bursts": bursts.run,
    "failure": failure.run,
    "flash-crowd": flash_crowd.run,
    "thrash": thrash.run,
    "forecast": forecast.run,
    "windows-simulated": windows.run,
}
