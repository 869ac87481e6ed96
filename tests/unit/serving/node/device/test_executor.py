"""The executor on a fake device: answers, refusals, cancellation, loading and unloading."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import numpy as np
import pytest

from cluster.topology import Batching
from serving.errors import RefusedError
from serving.node.device.batching import make_batcher
from serving.node.device.executor import Executor
from serving.node.device.served import Served
from support.node_fakes import FakeRuntime, image
from support.one_query import submit

pytestmark = pytest.mark.real_time

T = TypeVar("T")


def run(
    scenario: Callable[[Executor], Coroutine[Any, Any, T]],
    runtimes: dict[str, FakeRuntime],
    *,
    batching: Batching = Batching.GREEDY,
    window_s: float = 1.0,
    max_waiting: int = 1024,
) -> T:
    async def inner() -> T:
        executor = Executor(
            make_batcher(batching, window_s, 8), runtimes.__getitem__, max_waiting=max_waiting
        )
        try:
            return await asyncio.wait_for(scenario(executor), 20)
        finally:
            executor.close()

    return asyncio.run(inner())


def test_each_caller_gets_its_own_answer() -> None:
    runtime = FakeRuntime(number=100)

    async def scenario(executor: Executor) -> list[float]:
        await executor.load("m")
        answers = await asyncio.gather(
            *(submit(executor, "m", "depth", image(i)) for i in range(30))
        )
        return [float(answer.prediction[0, 0]) for answer in answers]

    assert run(scenario, {"m": runtime}) == [100.0 + i for i in range(30)]
    assert sum(runtime.batches) == 30
    assert max(runtime.batches) <= 8


def test_what_waits_while_the_device_is_busy_becomes_one_batch() -> None:
    runtime = FakeRuntime()

    async def scenario(executor: Executor) -> None:
        await executor.load("m")
        runtime.gate.clear()
        first = asyncio.ensure_future(submit(executor, "m", "depth", image(1)))
        await asyncio.sleep(0.05)
        rest = [asyncio.ensure_future(submit(executor, "m", "depth", image(2))) for _ in range(6)]
        await asyncio.sleep(0.05)
        runtime.gate.set()
        await asyncio.gather(first, *rest)

    run(scenario, {"m": runtime})
    assert runtime.batches == [1, 6]


def test_windows_gate_and_are_answered_within_two_of_them() -> None:
    runtime = FakeRuntime()

    async def scenario(executor: Executor) -> list[tuple[float, Served]]:
        await executor.load("m")
        loop = asyncio.get_running_loop()

        async def one(delay_s: float) -> tuple[float, Served]:
            await asyncio.sleep(delay_s)
            started_s = loop.time()
            served = await submit(executor, "m", "depth", image(1))
            return loop.time() - started_s, served

        return await asyncio.gather(*(one(0.013 * number) for number in range(20)))

    results = run(scenario, {"m": runtime}, batching=Batching.WINDOW, window_s=0.1)
    assert max(runtime.batches) > 1
    for latency_s, served in results:
        assert served.queue_s <= 0.1 + 1e-6
        assert latency_s < 1.0  # 2 T_b plus whatever this machine was doing


def test_a_cancelled_caller_does_not_harm_its_batch_mates() -> None:
    runtime = FakeRuntime()

    async def scenario(executor: Executor) -> float:
        await executor.load("m")
        runtime.gate.clear()
        running = asyncio.ensure_future(submit(executor, "m", "depth", image(1)))
        await asyncio.sleep(0.05)
        waiting = [asyncio.ensure_future(submit(executor, "m", "depth", image(i))) for i in (2, 3)]
        await asyncio.sleep(0.02)
        running.cancel()
        waiting[0].cancel()
        await asyncio.sleep(0.02)
        runtime.gate.set()
        served = await waiting[1]
        assert waiting[0].cancelled()
        assert running.cancelled()
        return float(served.prediction[0, 0])

    assert run(scenario, {"m": runtime}) == 3.0
    assert runtime.batches == [1, 1]


def test_a_failing_batch_is_refused_and_the_device_goes_on() -> None:
    bad, good = FakeRuntime(fails=True), FakeRuntime()

    async def scenario(executor: Executor) -> float:
        await executor.load("bad")
        await executor.load("good")
        with pytest.raises(RefusedError, match="out of memory"):
            await submit(executor, "bad", "depth", image(1))
        return float((await submit(executor, "good", "depth", image(7))).prediction[0, 0])

    assert run(scenario, {"bad": bad, "good": good}) == 7.0


def test_overload_is_refused_not_queued() -> None:
    runtime = FakeRuntime(batch_s=0.02)

    async def scenario(executor: Executor) -> list[str]:
        await executor.load("m")
        await submit(executor, "m", "depth", image(0))
        outcomes = await asyncio.gather(
            *(submit(executor, "m", "depth", image(1)) for _ in range(50)), return_exceptions=True
        )
        return [getattr(outcome, "reason", "answered") for outcome in outcomes]

    reasons = run(scenario, {"m": runtime}, window_s=0.05)
    assert set(reasons) == {"answered", "overloaded"}
    assert 3 <= reasons.count("answered") <= 10


def test_a_full_queue_and_an_absent_model_are_refused() -> None:
    runtime = FakeRuntime()

    async def scenario(executor: Executor) -> list[str]:
        with pytest.raises(RefusedError, match="not loaded"):
            await submit(executor, "m", "depth", image(1))
        await executor.load("m")
        runtime.gate.clear()
        calls = [asyncio.ensure_future(submit(executor, "m", "depth", image(1))) for _ in range(9)]
        await asyncio.sleep(0.05)
        runtime.gate.set()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        return [getattr(outcome, "reason", "answered") for outcome in outcomes]

    reasons = run(scenario, {"m": runtime}, max_waiting=3)
    assert "queue_full" in reasons
    assert reasons.count("answered") + reasons.count("queue_full") == 9


def test_unload_waits_for_queries_that_are_queued() -> None:
    runtime = FakeRuntime()

    async def scenario(executor: Executor) -> tuple[str, ...]:
        await executor.load("m")
        runtime.gate.clear()
        call = asyncio.ensure_future(submit(executor, "m", "depth", image(4)))
        await asyncio.sleep(0.02)
        leaving = asyncio.ensure_future(executor.unload("m"))
        await asyncio.sleep(0.05)
        assert not runtime.closed
        runtime.gate.set()
        await leaving
        assert float((await call).prediction[0, 0]) == 4.0
        return executor.models

    assert run(scenario, {"m": runtime}) == ()
    assert runtime.closed


def test_loading_twice_at_once_loads_once() -> None:
    made: list[str] = []

    class Loader(dict[str, FakeRuntime]):
        def __getitem__(self, name: str) -> FakeRuntime:
            made.append(name)
            return FakeRuntime()

    async def scenario(executor: Executor) -> None:
        await asyncio.gather(executor.load("m"), executor.load("m"))

    run(scenario, Loader())
    assert made == ["m"]


def test_images_of_two_sizes_do_not_harm_each_other() -> None:
    runtime = FakeRuntime()

    async def scenario(executor: Executor) -> list[float]:
        await executor.load("m")
        runtime.gate.clear()
        running = asyncio.ensure_future(submit(executor, "m", "depth", image(1)))
        await asyncio.sleep(0.05)
        sizes = [image(2), np.full((8, 8, 3), 3, np.uint8), image(4)]
        calls = [asyncio.ensure_future(submit(executor, "m", "depth", one)) for one in sizes]
        await asyncio.sleep(0.02)
        runtime.gate.set()
        await running
        return [float(served.prediction[0, 0]) for served in await asyncio.gather(*calls)]

    assert run(scenario, {"m": runtime}) == [2.0, 3.0, 4.0]
    assert runtime.batches == [1, 2, 1]


def test_a_model_that_is_about_to_go_can_be_loaded_again_and_stays() -> None:
    """`load` returned at once, because the model was there still, and then it went."""
    runtime = FakeRuntime()

    async def scenario(executor: Executor) -> tuple[tuple[str, ...], float]:
        await executor.load("m")
        runtime.gate.clear()
        asked = asyncio.ensure_future(submit(executor, "m", "depth", image(1)))
        await asyncio.sleep(0.05)
        going = asyncio.ensure_future(executor.unload("m"))
        await asyncio.sleep(0.05)
        coming = asyncio.ensure_future(executor.load("m"))
        await asyncio.sleep(0.05)
        runtime.gate.set()
        await asyncio.gather(asked, going, coming)
        again = await submit(executor, "m", "depth", image(2))
        return executor.models, float(again.prediction[0, 0])

    assert run(scenario, {"m": runtime}) == (("m",), 2.0)
