"""The same run with several seeds, on as many cores as there are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from cluster.demand import Phase
from cluster.errors import InputError
from cluster.timeline import TimelineEvent
from planner.plan import Plan
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
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

    Each worker is a process of its own, one a core unless said otherwise; with one, all runs are
    made here. A script that asks for more has to guard its own start (`if __name__ ==
    "__main__":`), since each worker imports it. Raises what `simulate` raises, and `InputError`
    without seeds.
    """
    if not seeds:
        raise InputError("there is no seed to simulate with")
    run = partial(
        _run, setting, plan, tuple(phases), shared_passes, spill_over, routing, tuple(timeline)
    )
    workers = min(len(seeds), workers or len(os.sched_getaffinity(0)))
    if workers == 1:
        return [run(seed) for seed in seeds]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(run, seeds))


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
