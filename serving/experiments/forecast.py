"""Forecast: a load that repeats itself, as by the hour of the day, with days of 72 s."""

from __future__ import annotations

from pathlib import Path

from cluster.arrivals import Arrivals, DiurnalArrivals
from cluster.demand import Phase
from planner.experiments.study import Progress
from serving.experiment_runs.request import SIMULATED, Runs
from serving.experiments.live_study import WITH_FORECAST, LiveCase, demo_phases, run_live
from serving.setting.setting import Setting

__all__ = ["cases", "run"]

DAY_S = 72.0
DAYS = 5
PERIODS = 8
"""of a day, for which loads are forecast: three hours each of a day of 24"""
SWING = 0.9


def run(
    out_dir: str | Path,
    setting: Setting,
    *,
    seeds: int = 10,
    on_progress: Progress | None = None,
    runs: Runs = SIMULATED,
) -> Path:
    """Writes forecast.csv and forecast.png: five days of 72 s, of which a forecast can use
    the last three. Raises `MissingExtraError` for want of statsmodels."""
    title = "accuracy over five days of 72 s"
    return run_live("forecast", title, cases(), setting, out_dir, seeds, on_progress, runs)


def cases() -> list[LiveCase]:
    """A volume that swings, the clients' peaks a part of the day apart; a mix that goes to and fro;
    one that flips at noon; and a steady load, which no forecast can improve."""
    first, second = demo_phases()
    half = {"duration_s": DAY_S / 2}
    peaks: dict[str, Arrivals] = {
        client: DiurnalArrivals(
            kind="diurnal", period_s=DAY_S, swing=SWING, peak_s=DAY_S * place / len(first.rates_qps)
        )
        for place, client in enumerate(first.rates_qps)
    }
    whole = first.model_copy(update={"duration_s": DAY_S * DAYS})
    there = first.model_copy(update={**half, "drift_to_qps": second.rates_qps})
    back = second.model_copy(update={**half, "drift_to_qps": first.rates_qps})
    loads: dict[str, tuple[Phase, ...]] = {
        "steady": (whole,),
        "volume swings": (whole.model_copy(update={"arrivals": peaks}),),
        "mix swings": (there, back) * DAYS,
        "mix flips": (first.model_copy(update=half), second.model_copy(update=half)) * DAYS,
    }
    return [
        LiveCase(name, phases, policies=WITH_FORECAST, season_s=DAY_S, season_periods=PERIODS)
        for name, phases in loads.items()
    ]
