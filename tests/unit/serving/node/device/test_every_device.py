"""What every `Device` keeps: the real one, one that it emulates, and the one of the simulator."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

import pytest
from pydantic import ByteSize

from cluster.topology import Batching, Node, Tier
from serving.errors import RefusalReason, RefusedError
from serving.node.device.batching import make_batcher
from serving.node.device.device import Device
from serving.node.device.device_time import DeviceTime, EmulatedTime
from serving.node.device.executor import Executor
from serving.simulation.simulated_device import SimulatedDevice
from serving.simulation.virtual_time import run_in_virtual_time
from support.node_fakes import FakeRuntime, image

T = TypeVar("T")
BATCH_S = 0.05
MAX_WAITING = 6
NODE = Node(
    name="n",
    tier=Tier.EDGE,
    memory=ByteSize(1),
    compute=1.0,
    window_s=1.0,
    batching=Batching.GREEDY,
    max_batch=4,
)
Run: TypeAlias = Callable[[Callable[[Device], Coroutine[Any, Any, T]]], T]


def run_real(scenario: Callable[[Device], Coroutine[Any, Any, T]]) -> T:
    return run_executor(scenario, FakeRuntime(1, batch_s=BATCH_S), None)


def run_emulated(scenario: Callable[[Device], Coroutine[Any, Any, T]]) -> T:
    return run_executor(scenario, FakeRuntime(1), EmulatedTime(lambda model, size: BATCH_S, 1.0))


def run_executor(
    scenario: Callable[[Device], Coroutine[Any, Any, T]],
    runtime: FakeRuntime,
    device_time: DeviceTime | None,
) -> T:
    async def main() -> T:
        device = Executor(
            make_batcher(NODE.batching, NODE.window_s, NODE.max_batch),
            lambda model: runtime,
            max_waiting=MAX_WAITING,
            device_time=device_time,
        )
        try:
            return await scenario(device)
        finally:
            device.close()

    return asyncio.run(main())


def run_simulated(scenario: Callable[[Device], Coroutine[Any, Any, T]]) -> T:
    async def main() -> T:
        return await scenario(SimulatedDevice(NODE, lambda node, model, size: BATCH_S, MAX_WAITING))

    return run_in_virtual_time(main())


@pytest.fixture(
    params=[run_real, run_emulated, run_simulated], ids=["executor", "emulated", "simulated"]
)
def run(request: pytest.FixtureRequest) -> Any:
    return request.param


async def outcome_of(device: Device, deadline_s: float | None = None) -> str:
    try:
        served = await device.submit_all("m", ("depth",), image(1), deadline_s)
    except RefusedError as refusal:
        return str(refusal.reason)
    assert set(served) == {"depth"}
    return "answered"


def test_what_is_not_loaded_is_refused_and_what_is_loaded_answers(run: Run[list[str]]) -> None:
    async def scenario(device: Device) -> list[str]:
        before = await outcome_of(device)
        assert len(device.models) == 0
        await device.load("m")
        assert list(device.models) == ["m"]
        assert await device.load("m") == 0.0
        during = await outcome_of(device)
        await device.unload("m")
        return [before, during, await outcome_of(device)]

    assert run(scenario) == ["model_not_loaded", "answered", "model_not_loaded"]


def test_so_many_wait_and_no_more(run: Run[Counter[str]]) -> None:
    async def scenario(device: Device) -> Counter[str]:
        await device.load("m")
        first = asyncio.ensure_future(outcome_of(device))
        await asyncio.sleep(BATCH_S / 5)  # it runs now, and waits no longer
        return Counter(await asyncio.gather(first, *(outcome_of(device) for _ in range(10))))

    assert run(scenario) == {"answered": 1 + MAX_WAITING, "queue_full": 10 - MAX_WAITING}


def test_who_has_gone_is_taken_out_of_the_queue(run: Run[tuple[int, int, str]]) -> None:
    async def scenario(device: Device) -> tuple[int, int, str]:
        await device.load("m")
        first = asyncio.ensure_future(outcome_of(device))
        await asyncio.sleep(BATCH_S / 5)
        second = asyncio.ensure_future(outcome_of(device))
        await asyncio.sleep(BATCH_S / 5)
        before = device.waiting["m"]
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        return before, device.waiting["m"], await first

    assert run(scenario) == (1, 0, "answered")


def test_a_model_that_is_unloaded_first_answers_what_waits_for_it(
    run: Run[tuple[str, str, str]],
) -> None:
    async def scenario(device: Device) -> tuple[str, str, str]:
        await device.load("m")
        first = asyncio.ensure_future(outcome_of(device))
        await asyncio.sleep(BATCH_S / 5)
        second = asyncio.ensure_future(outcome_of(device))
        await asyncio.sleep(BATCH_S / 5)
        leaving = asyncio.ensure_future(device.unload("m"))
        await asyncio.sleep(BATCH_S / 5)
        third = await outcome_of(device)
        await leaving
        return await first, await second, third

    assert run(scenario) == ("answered", "answered", "model_not_loaded")


def test_work_is_counted(run: Run[tuple[int, float]]) -> None:
    async def scenario(device: Device) -> tuple[int, float]:
        await device.load("m")
        for _ in range(3):
            await outcome_of(device)
        return device.batches, device.busy_s

    batches, busy_s = run(scenario)
    assert batches == 3
    assert busy_s >= 3 * BATCH_S * 0.99


def test_a_device_that_is_closed_refuses(run: Run[Counter[str]]) -> None:
    async def scenario(device: Device) -> Counter[str]:
        await device.load("m")
        first = asyncio.ensure_future(outcome_of(device))
        await asyncio.sleep(BATCH_S / 5)
        waiting = [asyncio.ensure_future(outcome_of(device)) for _ in range(3)]
        await asyncio.sleep(BATCH_S / 5)
        device.close()
        refused = await asyncio.gather(*waiting)
        await first
        return Counter(refused)

    assert run(scenario) == {RefusalReason.STOPPING: 3}


def test_the_simulated_device_tries_a_model_again_whose_estimate_a_stall_spoilt() -> None:
    async def main() -> list[str]:
        device = SimulatedDevice(NODE, lambda node, model, size: BATCH_S, MAX_WAITING)
        device.slowdown = 1_000.0
        await device.load("m")
        device.slowdown = 1.0
        first, second = await asyncio.gather(outcome_of(device), outcome_of(device))
        later = []
        for _ in range(20):
            await asyncio.sleep(1.5)
            later.append(await outcome_of(device))
        return [first, second, *later]

    outcomes = run_in_virtual_time(main())
    assert outcomes[:2] == ["answered", "overloaded"]  # one a second is tried
    assert set(outcomes[2:]) == {"answered"}
