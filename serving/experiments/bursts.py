"""Bursts: the mean load stays, and single moments lie far from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cluster.arrivals import ReplayArrivals
from cluster.demand import EVERY_CLIENT, Demand
from cluster.specs import SPECS
from planner.experiments.study import Progress
from serving.experiment_runs.request import SIMULATED, Runs
from serving.experiments.live_study import LiveCase, demo_phases, run_live
from serving.setting.setting import Setting

__all__ = ["cases", "run"]

SPEED = 300.0
"""recorded seconds a second: in 72 s load moves as much as in six hours of a recorded day"""


def run(
    out_dir: str | Path,
    setting: Setting,
    *,
    seeds: int = 20,
    on_progress: Progress | None = None,
    traces: Sequence[Path] = (),
    runs: Runs = SIMULATED,
) -> Path:
    """Writes bursts.csv and bursts.png, with a case for each of the recorded `traces`.

    Raises `DocumentError` for a trace that cannot be read, and `InputError` for one that is too
    short.
    """
    title = "accuracy in bursts around the same mean"
    return run_live("bursts", title, cases(traces), setting, out_dir, seeds, on_progress, runs)


def cases(traces: Sequence[Path] = ()) -> list[LiveCase]:
    """Poisson arrivals to compare with, the stated bursts, and recorded ones at the same rates."""
    calm, _ = demo_phases()
    found = [
        LiveCase("Poisson", (calm,)),
        LiveCase("stated bursts", Demand.load(SPECS / "bursty-demand.yaml").phases[:1]),
    ]
    for path in traces:
        replay = ReplayArrivals(
            kind="replay", file=str(path), speed=SPEED, start_s="random", repeat=True
        )
        _ = replay.trace  # what is wrong with the file is said before anything is measured
        found.append(
            LiveCase(path.stem, (calm.model_copy(update={"arrivals": {EVERY_CLIENT: replay}}),))
        )
    return found
