"""A simulated batch takes longer after a pause than straight after another one, as profiled."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from pydantic import ByteSize

from cluster.topology import Batching, Node, Tier
from planner.policies import solve
from profiling.profile import WayCost
from serving.simulation.simulate import simulate
from serving.simulation.simulated_device import SimulatedDevice
from serving.simulation.virtual_time import run_in_virtual_time
from support.demo_setting import demo_demand, demo_setting

NODE = Node(
    name="edge-0", tier=Tier.EDGE, memory=ByteSize(2**20), compute=1, window_s=0.5, max_batch=1,
    batching=Batching.GREEDY,
)  # fmt: skip
IMAGE = np.zeros((2, 2, 3), np.uint8)


def test_the_shorter_the_pause_the_shorter_the_batch() -> None:
    async def scenario() -> list[float]:
        device = SimulatedDevice(
            NODE, lambda node, model, size: 0.02, 8, straight_s=lambda node, model, size: 0.01
        )
        device.hold("m")
        spent_s = []
        for pause_s in (1.0, 0.0, 0.025, 0.05):
            await asyncio.sleep(pause_s)
            served = await device.submit_all("m", ("depth",), IMAGE)
            spent_s.append(served["depth"].compute_s)
        return spent_s

    assert run_in_virtual_time(scenario()) == pytest.approx([0.02, 0.01, 0.015, 0.02])


def test_what_a_query_takes_beside_is_added_to_every_answer() -> None:
    setting, phase = demo_setting(), demo_demand().phases[0].model_copy(update={"duration_s": 5.0})
    plan = solve(setting.problem(phase), "certified").plan
    plain = simulate(setting, plan, [phase], seed=3)
    known = setting.profiles.model_copy(update={"way": WayCost(door_s=0.003, hop_s=0.002)})
    beside = simulate(type(setting)(setting.topology, setting.cards, known), plan, [phase], seed=3)
    more_s = beside.done_s - plain.done_s
    for tier, seconds in (("client", 0.003), ("edge", 0.005), ("cloud", 0.007)):
        np.testing.assert_allclose(more_s[plain.tier == tier], seconds)
    assert np.all(more_s[~plain.answered] == 0)
