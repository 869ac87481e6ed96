"""Nothing of a simulated query is part of a cycle: memory is free as soon as the query is answered.

Python's collector looks for cycles rarely while a simulation runs (`rare_garbage_collection`), and
what holds a refusal in a cycle holds the picture with it, on a live node too.
"""

from __future__ import annotations

import gc
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from cluster.demand import BundleLoad, Phase
from cluster.timeline import TimelineEvent
from planner.policies import solve
from planner.solution import Solution
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
from serving.simulation.simulate import simulate_beside
from serving.simulation.simulated_system import SimulatedSystem
from support.demo_setting import demo_demand
from support.measured_models import on_one_host

FEW, OF_A_NODE = 60, 250
"""objects that a run and a node that was killed leave once; a query of fifty that left its refusal
would make it more, of over a thousand"""
FAULTS: tuple[dict[str, Any], ...] = (
    {"at_s": 2.0, "kill_node": "edge-0"},
    {"at_s": 9.0, "silence_link": ["client-0", "edge-0"]},
    {"at_s": 12.0, "cut_link": ["client-1", "edge-0"]},
    {"at_s": 15.0, "lose_device": "edge-0"},
)


def cycles_of(setting: Setting, solution: Solution, phase: Phase, **options: Any) -> Counter[str]:
    """What only the collector finds after a run, by type."""
    held: list[SimulatedSystem] = []  # which is a cycle itself

    async def hold(system: SimulatedSystem) -> None:
        held.append(system)

    gc.collect()
    usual = gc.get_debug()
    gc.disable()
    try:
        rows = simulate_beside(setting, solution.plan, [phase], hold, seed=1, **options)
        assert len(rows) > 1000
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return Counter(type(found).__name__ for found in gc.garbage)
    finally:
        gc.set_debug(usual)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("routing", list(RoutingMode))
def test_none_is_left_under_overload(
    setting: Setting, solution: Solution, routing: RoutingMode
) -> None:
    phase = demo_demand().phases[0].model_copy(update={"duration_s": 12.0}).scaled(3.0)
    found = cycles_of(setting, solution, phase, routing=routing)
    assert found.total() < FEW, found


def test_none_is_left_by_nodes_that_share_cores(setting: Setting, solution: Solution) -> None:
    shared = replace(setting, profiles=on_one_host(setting.profiles, cores=1))
    phase = demo_demand().phases[0].model_copy(update={"duration_s": 25.0})
    found = cycles_of(shared, solution, phase)
    assert found.total() < FEW, found


def test_none_is_left_by_faults(setting: Setting, solution: Solution) -> None:
    timeline = [TimelineEvent.model_validate(fault) for fault in FAULTS]
    phase = demo_demand().phases[0].model_copy(update={"duration_s": 25.0})
    found = cycles_of(setting, solution, phase, timeline=timeline)
    assert found.total() < OF_A_NODE, found


def test_none_is_left_by_requests_for_several_tasks(setting: Setting) -> None:
    bundles = (BundleLoad(client="client-0", tasks=("segmentation", "depth"), qps=60.0),)
    phase = Phase(
        duration_s=15.0, rates_qps={"client-0": {}, "client-1": {"depth": 20.0}}, bundles=bundles
    )
    found = cycles_of(setting, solve(setting.problem(phase), "certified"), phase)
    assert found.total() < FEW, found
