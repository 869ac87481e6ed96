"""The same run with several seeds, on as many cores as there are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from cluster.demand import Phase
from cluster.errors import InputError
from cluster.timeline import TimelineEvent
from planner.plan import Plan
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
from serving.simulation.on_cores import map_on_cores
from serving.simulation.simulate import simulate
from serving.traffic.measurement import Measurements

__all__ = ["simulate_runs"]


def simulate_runs(
    setting: Setting,
    plan: Plan,
    phases: Sequence[Phase],
    seeds: Sequence[int],
    *,
    workers: int | None = None,
    shared_passes: bool = True,
    spill_over: bool = True,
    routing: RoutingMode = RoutingMode.SHARES,
    timeline: Sequence[TimelineEvent] = (),
) -> list[Measurements]:
    """What `simulate` gives for each of `seeds`, in their order, whatever the number of `workers`.

    Workers are as of `map_on_cores`. Raises what `simulate` raises, and `InputError` without seeds.
    """
    if not seeds:
        raise InputError("there is no seed to simulate with")
    run = partial(
        _run, setting, plan, tuple(phases), shared_passes, spill_over, routing, tuple(timeline)
    )
    return map_on_cores(run, seeds, workers)


def _run(
    setting: Setting,
    plan: Plan,
    phases: Sequence[Phase],
    shared_passes: bool,
    spill_over: bool,
    routing: RoutingMode,
    timeline: Sequence[TimelineEvent],
    seed: int,
) -> Measurements:
    return simulate(
        setting, plan, phases, seed=seed, shared_passes=shared_passes, spill_over=spill_over,
        routing=routing, timeline=timeline,
    )  # fmt: skip
