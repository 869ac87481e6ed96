"""Nodes that stand still (SIGSTOP) in simulated time, and go on, or are taken for dead."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from pydantic import ByteSize

from cluster.demand import Phase
from cluster.timeline import TimelineEvent
from cluster.topology import Batching, Node, Tier
from planner.solution import Solution
from serving.deploy.health_checks import HANG_S
from serving.node.links.peer_connection import UplinkTimeouts
from serving.setting.setting import Setting
from serving.simulation.simulate import simulate
from serving.simulation.simulated_device import SimulatedDevice
from serving.simulation.simulated_faults import RESTART_S
from serving.simulation.simulated_system import SimulatedSystem
from serving.simulation.virtual_time import run_in_virtual_time
from serving.traffic.measurement import Measurements
from serving.traffic.summary import summarise_run
from support.demo_setting import demo_demand

SILENCE_S = UplinkTimeouts().silence_s
STOP_S = 6.0


def stop(
    setting: Setting, solution: Solution, node: str, resume_s: float | None, duration_s: float
) -> Measurements:
    events: list[dict[str, Any]] = [{"at_s": STOP_S, "stop_node": node}]
    if resume_s is not None:
        events.append({"at_s": resume_s, "resume_node": node})
    phase = Phase(duration_s=duration_s, rates_qps=demo_demand().phases[0].rates_qps)
    timeline = [TimelineEvent.model_validate(event) for event in events]
    return simulate(setting, solution.plan, [phase], seed=5, timeline=timeline)


def test_a_short_stand_loses_nothing_that_was_sent(setting: Setting, solution: Solution) -> None:
    resume_s = STOP_S + SILENCE_S - 1.0
    rows = stop(setting, solution, "edge-0", resume_s, 14.0)
    assert summarise_run(rows).errors == 0
    of_edge = rows.answered & (rows.node == "edge-0")
    assert not np.any(of_edge & (rows.done_s > STOP_S) & (rows.done_s < resume_s))
    sent_meanwhile = of_edge & (rows.scheduled_s > STOP_S) & (rows.scheduled_s < resume_s)
    assert sent_meanwhile.any()


def test_after_a_silence_queries_take_another_way_until_the_node_goes_on(
    setting: Setting, solution: Solution
) -> None:
    resume_s = 18.0
    rows = stop(setting, solution, "edge-0", resume_s, 26.0)
    assert summarise_run(rows).errors == 0
    of_edge = rows.answered & (rows.node == "edge-0")
    given_up_s = STOP_S + SILENCE_S + UplinkTimeouts().queue_s + 0.5
    # Who comes later may still wait for its turn on the link when the node goes on.
    lost = (rows.scheduled_s > given_up_s) & (rows.scheduled_s < resume_s - 2.0)
    assert not np.any(lost & of_edge)
    assert rows.answered[lost].mean() > 0.3  # by the clients' own devices
    assert np.any(of_edge & (rows.scheduled_s > resume_s + 0.5))


def test_a_node_that_never_goes_on_is_killed_and_started_anew(
    setting: Setting, solution: Solution
) -> None:
    dead_s = STOP_S + HANG_S
    rows = stop(setting, solution, "edge-0", None, dead_s + RESTART_S + 12.0)
    of_edge = rows.answered & (rows.node == "edge-0") & (rows.scheduled_s > STOP_S)
    assert of_edge.any()
    assert rows.done_s[of_edge].min() > dead_s + RESTART_S
    assert summarise_run(rows).errors == 0


def test_a_client_that_stands_still_answers_when_it_goes_on(
    setting: Setting, solution: Solution
) -> None:
    rows = stop(setting, solution, "client-0", 9.0, 14.0)
    mine = rows.client == "client-0"
    waiting = mine & (rows.scheduled_s > STOP_S) & (rows.scheduled_s < 9.0)
    assert waiting.any()
    assert rows.done_s[waiting & rows.answered].min() >= 9.0
    others = ~mine & rows.answered & (rows.scheduled_s > STOP_S) & (rows.scheduled_s < 8.0)
    assert np.median(rows.latency_s[others]) < 1.0


@pytest.mark.parametrize("stood_s", [0.0, 5.0])
def test_a_batch_that_runs_is_finished_as_much_later_as_its_node_stood(stood_s: float) -> None:
    node = Node(
        name="n", tier=Tier.EDGE, memory=ByteSize(1), compute=1.0, window_s=0.5,
        batching=Batching.GREEDY,
    )  # fmt: skip
    image = np.zeros((1, 1, 1), np.uint8)

    async def scenario() -> float:
        device = SimulatedDevice(node, lambda node, model, size: 0.2, 8)
        device.hold("m")
        begun_s = asyncio.get_running_loop().time()
        asked = asyncio.ensure_future(device.submit_all("m", ("depth",), image))
        await asyncio.sleep(0.1)
        device.stand_still()
        await asyncio.sleep(stood_s)
        assert not asked.done()
        device.go_on()
        await asked
        return asyncio.get_running_loop().time() - begun_s

    assert run_in_virtual_time(scenario()) == pytest.approx(0.2 + stood_s)


def test_what_stands_still_shows_no_counters_until_it_goes_on(
    setting: Setting, solution: Solution
) -> None:
    async def scenario() -> None:
        system = SimulatedSystem(setting.topology, solution.plan, lambda node, model, size: 0.1, {})
        names = {node.name for node in setting.topology.nodes}
        system.stand_still("client-0")
        assert set(system.snapshots()) == names - {"client-0"}
        system.go_on("client-0")
        assert set(system.snapshots()) == names

    run_in_virtual_time(scenario())
