"""A device that hangs, or whose thread ends, is noticed: nobody waits for it, and it can heal."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import numpy as np
import pytest

from serving.errors import ModelLoadError, RefusedError
from serving.node.device.batching import GreedyBatcher
from serving.node.device.device_watch import LOOK_S, DeviceHealth
from serving.node.device.executor import Executor
from serving.node.device.observer import SilentDeviceObserver
from support.log_records import error_of
from support.node_fakes import ONLY_EDGE, FakeRuntime, hierarchy, image, models, put_in_force
from support.one_query import submit

pytestmark = pytest.mark.real_time

T = TypeVar("T")


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Heard(SilentDeviceObserver):
    """Keeps what the device said of itself."""

    def __init__(self) -> None:
        self.told: list[DeviceHealth] = []

    def on_device(self, health: DeviceHealth) -> None:
        self.told.append(health)


class Stalling(FakeRuntime):
    """Says when a pass has begun; `gate` lets it go on."""

    def __init__(self, ends_with: BaseException | None = None) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.ends_with = ends_with

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        self.begun.set()
        self.gate.wait(20)
        if self.ends_with is not None:
            raise self.ends_with
        return super().run(images)


class Drill:
    """An executor with the model `m` on a clock of its own."""

    def __init__(self, runtime: FakeRuntime) -> None:
        self.clock, self.heard = Clock(), Heard()
        self.executor = Executor(
            GreedyBatcher(4, 1.0), {"m": runtime}.__getitem__, clock=self.clock,
            observer=self.heard, node="edge",
        )  # fmt: skip

    def ask(
        self, picture: np.ndarray | None = None, deadline_s: float | None = None
    ) -> asyncio.Task[str]:
        """The reason of a query's refusal, or "answered"."""

        async def one() -> str:
            try:
                await submit(
                    self.executor,
                    "m",
                    "depth",
                    image(1) if picture is None else picture,
                    deadline_s,
                )
            except RefusedError as refusal:
                return str(refusal.reason)
            return "answered"

        return asyncio.ensure_future(one())

    def health(self) -> DeviceHealth:
        return self.executor.health

    def pass_time(self, seconds: float) -> None:
        """So many seconds, in looks as the timer makes them."""
        for _ in range(int(seconds / LOOK_S) + 1):
            self.executor.look()
            self.clock.now_s += LOOK_S
        self.executor.look()

    async def until(self, health: DeviceHealth) -> None:
        while self.executor.health is not health or self.heard.told[-1:] != [health]:
            await asyncio.sleep(0)


def run(scenario: Callable[[Drill], Coroutine[Any, Any, T]], runtime: FakeRuntime) -> T:
    async def inner() -> T:
        drill = Drill(runtime)
        await drill.executor.load("m")
        try:
            return await asyncio.wait_for(scenario(drill), 20)
        finally:
            runtime.gate.set()
            drill.executor.close()

    return asyncio.run(inner())


async def stall(drill: Drill, runtime: Stalling) -> list[asyncio.Task[str]]:
    """A query on a device that does not come back from it, and two that wait behind it."""
    runtime.gate.clear()
    asked = [drill.ask()]
    await asyncio.to_thread(runtime.begun.wait, 20)
    asked += [drill.ask(), drill.ask()]
    await asyncio.sleep(0)
    return asked


def test_nobody_waits_for_a_device_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    runtime = Stalling()

    async def scenario(drill: Drill) -> tuple[list[str], str, list[DeviceHealth]]:
        asked = await stall(drill, runtime)
        drill.pass_time(4.0)
        assert drill.health() is DeviceHealth.WELL
        assert not any(one.done() for one in asked)
        drill.pass_time(2.0)
        assert drill.health() is DeviceHealth.HUNG
        refused = await asyncio.gather(*asked)
        return refused, await drill.ask(), drill.heard.told

    refused, later, told = run(scenario, runtime)
    assert refused == ["device_failed"] * 3
    assert later == "device_failed"
    assert told == [DeviceHealth.HUNG]
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert lines[0] == "the device does not come back from a batch"


def test_a_device_that_comes_back_is_used_again_and_its_long_batch_is_no_measure() -> None:
    """Six seconds in the latency model would have all later queries refused, for ever."""
    runtime = Stalling()

    async def scenario(drill: Drill) -> tuple[str, list[DeviceHealth]]:
        asked = await stall(drill, runtime)
        drill.pass_time(6.0)
        await asyncio.gather(*asked)
        runtime.gate.set()
        await drill.until(DeviceHealth.WELL)
        return await drill.ask(), drill.heard.told

    answered, told = run(scenario, runtime)
    assert answered == "answered"
    assert told == [DeviceHealth.HUNG, DeviceHealth.WELL]


def test_an_estimate_that_a_stall_spoilt_does_not_refuse_for_ever() -> None:
    """Four seconds are no hang, and yet more than any query may take: 2 T_b is two seconds."""
    runtime = FakeRuntime()

    async def scenario(drill: Drill) -> list[list[str]]:
        drill.executor.learn("m", 1, 4.0)
        seen = []
        for _ in range(12):
            deadline_s = drill.clock.now_s + 1.9  # of callers who all have one
            seen.append([await drill.ask(deadline_s=deadline_s) for _ in range(2)])
            drill.clock.now_s += 1.1
        return seen

    seen = run(scenario, runtime)
    assert seen[0] == ["answered", "overloaded"]  # one a second, to learn from
    assert seen[-1] == ["answered", "answered"]


def test_a_model_that_is_too_slow_is_probed_behind_no_other_query() -> None:
    runtime = Stalling()

    async def scenario(drill: Drill) -> str:
        drill.executor.learn("m", 1, 4.0)
        runtime.gate.clear()
        first = drill.ask()
        await asyncio.to_thread(runtime.begun.wait, 20)
        drill.clock.now_s += 1.1
        second = drill.ask()  # taken: the first runs, and none waits
        await asyncio.sleep(0)
        drill.clock.now_s += 1.1
        third = await drill.ask()
        runtime.gate.set()
        await asyncio.gather(first, second)
        return third

    assert run(scenario, runtime) == "overloaded"


def test_a_time_in_which_the_process_was_stopped_is_no_measure() -> None:
    runtime = Stalling()

    async def scenario(drill: Drill) -> list[str]:
        runtime.gate.clear()
        stopped = drill.ask()
        await asyncio.to_thread(runtime.begun.wait, 20)
        drill.clock.now_s += 60.0  # with no look in between
        runtime.gate.set()
        return [await stopped, await drill.ask(), await drill.ask()]

    assert run(scenario, runtime) == ["answered"] * 3


def test_a_long_batch_of_a_model_that_takes_long_is_no_fault() -> None:
    runtime = Stalling()

    async def scenario(drill: Drill) -> str:
        drill.executor.learn("m", 1, 1.5)
        runtime.gate.clear()
        asked = drill.ask()
        await asyncio.to_thread(runtime.begun.wait, 20)
        drill.pass_time(14.0)
        assert drill.health() is DeviceHealth.WELL
        runtime.gate.set()
        return await asked

    assert run(scenario, runtime) == "answered"


def test_what_waits_in_a_batch_of_several_sizes_is_refused_with_it() -> None:
    """Images of another size run after those of the first; they are queued no more by then."""
    first_over, go_on = threading.Event(), threading.Event()

    class StallsLater(Stalling):
        def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
            if self.batches:
                first_over.set()
                go_on.wait(20)
            return super().run(images)

    runtime = StallsLater()

    async def scenario(drill: Drill) -> list[str]:
        asked = await stall(drill, runtime)
        large = drill.ask(np.ones((8, 8, 3), np.uint8))
        await asyncio.sleep(0)
        runtime.gate.set()
        await asyncio.to_thread(first_over.wait, 20)
        drill.pass_time(6.0)
        outcomes = await asyncio.gather(*asked, large)
        go_on.set()
        return outcomes

    assert run(scenario, runtime) == ["answered", *["device_failed"] * 3]
    assert runtime.batches[:1] == [1]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_nobody_waits_for_a_device_whose_thread_has_ended(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = Stalling(ends_with=error)

    async def scenario(drill: Drill) -> tuple[list[str], str, list[DeviceHealth]]:
        asked = await stall(drill, runtime)
        runtime.gate.set()
        refused = await asyncio.gather(*asked)  # without a look of the timer
        later = await drill.ask()
        await drill.executor.unload("m")  # which waits for the queries of the model
        return refused, later, drill.heard.told

    refused, later, told = run(scenario, runtime)
    assert refused == ["device_failed"] * 3
    assert later == "device_failed"
    assert told == [DeviceHealth.DEAD]
    assert runtime.closed
    (record,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert error_of(record) is type(error)


def test_a_node_can_stop_though_its_device_hangs() -> None:
    runtime = Stalling()

    async def scenario(drill: Drill) -> tuple[str, bool]:
        asked = await stall(drill, runtime)
        drill.pass_time(6.0)
        await asyncio.gather(*asked)
        drill.executor.close()
        closed_under_it = runtime.closed
        return await drill.ask(), closed_under_it

    assert run(scenario, runtime) == ("device_failed", False)


def test_an_edge_that_hangs_is_answered_for_elsewhere_and_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the watch's own timer."""
    monkeypatch.setattr("serving.node.device.device_watch.HANG_FLOOR_S", 0.1)
    runtime = Stalling()

    async def scenario() -> tuple[list[str], bool, DeviceHealth, str]:
        async with hierarchy(models() | {"two": runtime}) as (client, servers):
            await put_in_force(servers, routes=ONLY_EDGE)
            runtime.gate.clear()
            ways = [(await client.answer("depth", image(1))).target.node for _ in range(3)]
            failing, device = servers["edge"].failing, servers["edge"].snapshot().device
            runtime.gate.set()
            while servers["edge"].failing:
                await asyncio.sleep(0)
            return ways, failing, device, (await client.answer("depth", image(1))).target.node

    ways, failing, device, after = asyncio.run(asyncio.wait_for(scenario(), 20))
    assert ways == ["client"] * 3
    assert (failing, device) == (True, DeviceHealth.HUNG)
    assert after == "edge"


def test_a_load_that_does_not_end_is_given_up_and_its_late_model_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serving.node.device.model_load.LOAD_BOUND_S", 0.02)
    go_on, late = threading.Event(), FakeRuntime()

    def load(name: str) -> FakeRuntime:
        if name == "stuck":
            go_on.wait(20)
            return late
        return FakeRuntime()

    async def scenario() -> tuple[str, ...]:
        executor = Executor(GreedyBatcher(1, 1.0), load)
        with pytest.raises(ModelLoadError, match="model stuck was not loaded"):
            await executor.load("stuck")
        await executor.load("m")  # the next load does not wait for it
        go_on.set()
        while not late.closed:
            await asyncio.sleep(0)
        held = executor.models
        executor.close()
        return held

    assert asyncio.run(asyncio.wait_for(scenario(), 20)) == ("m",)
