"""Thrash: the mix flips to and fro, faster than the horizon for which a change must pay."""

from __future__ import annotations

from pathlib import Path

from planner.experiments.study import Progress
from serving.experiment_runs.request import SIMULATED, Runs
from serving.experiments.live_study import WITH_FORECAST, LiveCase, demo_phases, run_live
from serving.setting.setting import Setting

__all__ = ["cases", "run"]

FLIPS_S = (4.0, 8.0, 16.0)
"""each below the loop's horizon of 60 s"""
RUN_S = 128.0
PERIODS = 4
"""of a season, for which loads are forecast"""


def run(
    out_dir: str | Path,
    setting: Setting,
    *,
    seeds: int = 20,
    on_progress: Progress | None = None,
    runs: Runs = SIMULATED,
) -> Path:
    """Writes thrash.csv and thrash.png: 128 s in which the demo's two mixes take turns.

    Plans by the clock are made at every flip. Two flips are a season, so the policy `forecast` can
    learn when they come.
    """
    title = "accuracy as the mix flips to and fro"
    return run_live("thrash", title, cases(), setting, out_dir, seeds, on_progress, runs)


def cases() -> list[LiveCase]:
    """By the time from flip to flip."""
    mixes = demo_phases()
    return [
        LiveCase(
            f"every {flip_s:g} s",
            tuple(
                mixes[number % 2].model_copy(update={"duration_s": flip_s})
                for number in range(int(RUN_S / flip_s))
            ),
            policies=WITH_FORECAST,
            every_s=flip_s,
            season_s=2.0 * flip_s,
            season_periods=PERIODS,
        )
        for flip_s in FLIPS_S
    ]
