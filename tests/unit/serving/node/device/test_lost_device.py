"""A device that is lost and comes back, the real executor's and the simulator's alike."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

import pytest
from pydantic import ByteSize

from cluster.topology import Batching, Node, Tier
from models.runtime.device_errors import DeviceLostError
from serving.errors import ModelLoadError, RefusedError
from serving.node.device.batching import make_batcher
from serving.node.device.device import Device
from serving.node.device.device_faults import AWAY_S, FAILING, DeviceFaults
from serving.node.device.device_switch import DeviceSwitch
from serving.node.device.device_watch import DeviceHealth
from serving.node.device.executor import Executor
from serving.simulation.simulated_device import SimulatedDevice
from serving.simulation.virtual_time import run_in_virtual_time
from support.node_fakes import ONLY_EDGE, FakeRuntime, hierarchy, image, models, put_in_force

T = TypeVar("T")
BATCH_S = 0.05
NODE = Node(
    name="n", tier=Tier.EDGE, memory=ByteSize(1), compute=1.0, window_s=1.0,
    batching=Batching.GREEDY, max_batch=1,
)  # fmt: skip
Scenario: TypeAlias = Callable[[Device, DeviceSwitch], Coroutine[Any, Any, T]]


def run_real(scenario: Scenario[T]) -> T:
    async def main() -> T:
        switch = DeviceSwitch()
        device = Executor(
            make_batcher(NODE.batching, NODE.window_s, NODE.max_batch),
            switch.guard(lambda model: FakeRuntime(1, batch_s=BATCH_S)),
        )
        try:
            return await scenario(device, switch)
        finally:
            device.close()

    return asyncio.run(main())


def run_simulated(scenario: Scenario[T]) -> T:
    async def main() -> T:
        device = SimulatedDevice(NODE, lambda node, model, size: BATCH_S, 8)
        return await scenario(device, device.switch)

    return run_in_virtual_time(main())


@pytest.fixture(params=[run_real, run_simulated], ids=["executor", "simulated"])
def run(request: pytest.FixtureRequest) -> Any:
    return request.param


async def outcome_of(device: Device, model: str = "m") -> str:
    try:
        await device.submit_all(model, ("depth",), image(1))
    except RefusedError as refusal:
        return str(refusal.reason)
    return "answered"


def test_who_runs_waits_or_comes_is_refused_and_the_device_says_that_it_is_lost(
    run: Callable[[Scenario[Any]], Any],
) -> None:
    async def scenario(device: Device, switch: DeviceSwitch) -> list[Any]:
        await device.load("m")
        before = await outcome_of(device)
        asked = [asyncio.ensure_future(outcome_of(device)) for _ in range(3)]
        await asyncio.sleep(BATCH_S / 5)  # one runs, two wait
        switch.lost = True
        refused = await asyncio.gather(*asked)
        return [before, refused, await outcome_of(device), device.health, device.needs_new_process]

    assert run(scenario) == [
        "answered", ["device_failed"] * 3, "device_failed", DeviceHealth.LOST, True,
    ]  # fmt: skip


def test_a_process_that_lost_its_device_needs_another_one_though_the_device_is_back(
    run: Callable[[Scenario[Any]], Any],
) -> None:
    """As with CUDA, whose errors of this kind stay with a process to its end."""

    async def scenario(device: Device, switch: DeviceSwitch) -> list[Any]:
        await device.load("m")
        switch.lost = True
        lost = await outcome_of(device)
        switch.lost = False
        return [lost, await outcome_of(device), device.health, device.needs_new_process]

    assert run(scenario) == ["device_failed", "device_failed", DeviceHealth.LOST, True]


def test_a_process_without_device_from_the_start_serves_once_the_device_is_there(
    run: Callable[[Scenario[Any]], Any],
) -> None:
    async def scenario(device: Device, switch: DeviceSwitch) -> list[Any]:
        switch.lost = True
        with pytest.raises(DeviceLostError, match="no CUDA-capable device"):
            await device.load("m")
        meanwhile = [await outcome_of(device), device.health, device.needs_new_process]
        switch.lost = False
        await device.load("m")
        return [*meanwhile, await outcome_of(device), device.health, device.needs_new_process]

    assert run(scenario) == [
        "model_not_loaded", DeviceHealth.LOST, False, "answered", DeviceHealth.WELL, False,
    ]  # fmt: skip


def test_a_process_that_lost_its_device_frees_its_models_when_it_stops(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runtime = FakeRuntime(1)

    async def main() -> None:
        switch = DeviceSwitch()
        device = Executor(
            make_batcher(NODE.batching, NODE.window_s, NODE.max_batch),
            switch.guard(lambda model: runtime),
        )
        await device.load("m")
        switch.lost = True
        assert await outcome_of(device) == "device_failed"
        assert device.health is DeviceHealth.LOST
        device.close()

    asyncio.run(main())
    assert runtime.closed
    assert "does not come back" not in caplog.text


def test_a_model_that_is_loaded_when_its_node_has_stopped_is_freed() -> None:
    runtime, begun, go_on = FakeRuntime(1), threading.Event(), threading.Event()

    def load(model: str) -> FakeRuntime:
        begun.set()
        assert go_on.wait(5)
        return runtime

    async def main() -> tuple[str, ...]:
        device = Executor(make_batcher(NODE.batching, NODE.window_s, NODE.max_batch), load)
        loading = asyncio.ensure_future(device.load("m"))
        await asyncio.to_thread(begun.wait, 5)
        device.close()
        go_on.set()
        with pytest.raises(ModelLoadError, match="shut down while it loaded model m"):
            await loading
        return device.models

    assert asyncio.run(main()) == ()
    assert runtime.closed


def test_a_process_looks_for_its_device_for_a_minute_and_then_another_one_does() -> None:
    faults, gone = DeviceFaults(), DeviceLostError("gone")
    faults.load_failed(ValueError("a card is damaged"), 90.0)
    before = faults.lost
    faults.load_failed(gone, 100.0)
    faults.load_failed(gone, 130.0)
    assert (before, faults.lost) == (False, True)
    assert not faults.need_new_process(DeviceHealth.LOST, 100.0 + AWAY_S - 1.0)
    assert faults.need_new_process(DeviceHealth.LOST, 100.0 + AWAY_S)
    faults.loaded()
    assert not faults.need_new_process(DeviceHealth.WELL, 1_000.0)
    assert faults.need_new_process(DeviceHealth.HUNG, 1_000.0)


def test_one_batch_on_a_lost_device_is_enough_and_of_others_it_takes_several() -> None:
    faults = DeviceFaults()
    for _ in range(FAILING - 1):
        faults.batch_failed(RuntimeError("a wrong shape"), 0.0)
    assert faults.failing is False
    faults.loaded()  # which is no answer to a batch
    assert faults.batch_answered() == FAILING - 1
    faults.batch_failed(DeviceLostError("gone"), 0.0)
    assert (faults.failing, faults.lost) == (False, True)


def test_an_edge_without_device_is_gone_round_and_still_passes_queries_on() -> None:
    only_cloud = {"edges": (((target := ONLY_EDGE["depth"][0][0])._replace(
        tier="cloud", node="cloud", model="three"), 1.0),), **ONLY_EDGE}  # fmt: skip
    assert target.node == "edge"

    async def scenario() -> tuple[list[str], DeviceHealth, bool, str]:
        async with hierarchy(models()) as (client, servers):
            await put_in_force(servers, routes=only_cloud)
            edge = servers["edge"]
            edge.switch_device(True)
            ways = [(await client.answer("depth", image(1))).target.node for _ in range(3)]
            through = (await client.answer("edges", image(1))).target.node
            return ways, edge.snapshot().device, edge.failing, through

    ways, device, failing, through = asyncio.run(asyncio.wait_for(scenario(), 20))
    assert set(ways) <= {"client", "cloud"}
    assert (device, failing) == (DeviceHealth.LOST, True)  # Serve starts it anew
    assert through == "cloud"
