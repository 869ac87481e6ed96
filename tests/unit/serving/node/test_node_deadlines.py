"""Deadlines: kept, or refused as soon as it is known that they cannot be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping
from typing import Any

import pytest

from serving.errors import RefusedError
from serving.node.device.batching import GreedyBatcher
from serving.node.device.executor import Executor
from serving.routing.routes import RouteTable, Target
from support.node_fakes import ONLY_EDGE, FakeRuntime, hierarchy, image, models, put_in_force
from support.one_query import submit

pytestmark = pytest.mark.real_time


async def refusal_of(call: Awaitable[object]) -> str:
    with pytest.raises(RefusedError) as caught:
        await call
    return caught.value.reason


def test_a_deadline_that_has_passed_is_refused_unseen() -> None:
    async def scenario() -> tuple[str, list[list[int]]]:
        runtimes = models()
        async with hierarchy(runtimes) as (client, servers):
            await put_in_force(servers)
            late_s = time.monotonic() - 0.01
            reason = await refusal_of(client.answer("depth", image(1), deadline_s=late_s))
            return reason, [runtime.batches for runtime in runtimes.values()]

    assert asyncio.run(scenario()) == ("deadline", [[], [], []])


def test_a_query_that_waits_past_its_deadline_is_refused_and_not_run() -> None:
    runtime = FakeRuntime()

    async def scenario() -> str:
        executor = Executor(GreedyBatcher(8), lambda _: runtime)
        await executor.load("m")
        runtime.gate.clear()
        first = asyncio.ensure_future(submit(executor, "m", "depth", image(1)))
        await asyncio.sleep(0.02)
        urgent = submit(executor, "m", "depth", image(2), deadline_s=time.monotonic() + 0.05)
        patient = asyncio.ensure_future(submit(executor, "m", "depth", image(3)))
        waiting = asyncio.ensure_future(refusal_of(urgent))
        await asyncio.sleep(0.1)
        runtime.gate.set()
        await asyncio.gather(first, patient)
        reason = await waiting
        executor.close()
        return reason

    assert asyncio.run(scenario()) == "deadline"
    assert runtime.batches == [1, 1]


def test_a_batch_is_cut_so_that_its_queries_keep_their_deadlines() -> None:
    runtime = FakeRuntime()

    async def scenario() -> list[str]:
        batcher = GreedyBatcher[Any](64)
        for size in (1, 8, 32) * 5:
            batcher.latency_model.learn("m", size, 0.02 * size)
        executor = Executor(batcher, lambda _: runtime)
        await executor.load("m")
        runtime.gate.clear()
        first = asyncio.ensure_future(submit(executor, "m", "depth", image(1)))
        await asyncio.sleep(0.02)
        due_s = time.monotonic() + 0.5
        calls = [
            asyncio.ensure_future(submit(executor, "m", "depth", image(2), due_s))
            for _ in range(40)
        ]
        await asyncio.sleep(0.05)
        runtime.gate.set()
        await first
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        executor.close()
        return [getattr(outcome, "reason", "answered") for outcome in outcomes]

    reasons = asyncio.run(scenario())
    assert set(reasons) == {"answered", "deadline"}
    assert 15 <= reasons.count("answered") <= 25  # admission: 0.5 s of work at 0.02 s each
    assert max(runtime.batches) <= 25


def test_a_deadline_travels_and_the_far_side_keeps_it() -> None:
    """The edge, not the client, knows that its device is busy."""

    async def scenario() -> tuple[str, float, list[int]]:
        runtimes = models()
        async with hierarchy(runtimes) as (client, servers):
            await put_in_force(servers, routes=ONLY_EDGE, local=())
            for size in (1, 8, 16) * 20:  # its rehearsals took no time, and fade
                servers["edge"]._executor._batcher.latency_model.learn(
                    "two", size, 0.15 + 0.001 * size
                )
            started_s = time.monotonic()
            reason = await refusal_of(client.answer("depth", image(1), deadline_s=started_s + 0.1))
            spent_s = time.monotonic() - started_s
            await client.answer("depth", image(1), deadline_s=time.monotonic() + 60)
            return reason, spent_s, runtimes["two"].batches

    reason, spent_s, batches = asyncio.run(scenario())
    assert reason == "deadline"
    assert spent_s < 0.09  # at once, not when it has passed
    assert batches == [1]


def test_a_link_that_alone_takes_longer_than_a_deadline_is_not_used() -> None:
    async def scenario() -> tuple[str, bool, int]:
        async with hierarchy(models(), rtt_s=20.0) as (client, servers):
            await put_in_force(servers, routes=ONLY_EDGE, local=())
            due_s = time.monotonic() + 15
            reason = await refusal_of(client.answer("depth", image(1), deadline_s=due_s))
            return reason, time.monotonic() < due_s, client.snapshot().sent_bytes

    assert asyncio.run(scenario()) == ("deadline", True, 0)


def test_a_silent_far_side_is_waited_for_no_longer_than_the_deadline() -> None:
    async def scenario() -> tuple[str, float, Mapping[str, int], list[int]]:
        runtimes = models()
        async with hierarchy(runtimes) as (client, servers):
            await put_in_force(servers, routes=ONLY_EDGE, local=())
            runtimes["two"].gate.clear()
            first = asyncio.ensure_future(client.answer("depth", image(1)))
            await asyncio.sleep(0.05)
            due_s = time.monotonic() + 0.2
            reason = await refusal_of(client.answer("depth", image(1), deadline_s=due_s))
            late_s = time.monotonic() - due_s
            await asyncio.sleep(0.05)
            waiting = servers["edge"].snapshot().waiting
            runtimes["two"].gate.set()
            await first
            return reason, late_s, waiting, runtimes["two"].batches

    reason, late_s, waiting, batches = asyncio.run(scenario())
    assert reason == "deadline"
    assert late_s < 2
    assert waiting == {"two": 0}  # it was called back from there
    assert batches == [1]


def test_a_caller_that_leaves_takes_its_query_back_from_every_node() -> None:
    async def scenario() -> tuple[Mapping[str, int], Mapping[str, int], list[int]]:
        runtimes = models()
        async with hierarchy(runtimes) as (client, servers):
            await put_in_force(servers, local=())
            client.route(RouteTable(2, {"depth": ((Target("cloud", "cloud", "three"), 1.0),)}))
            runtimes["three"].gate.clear()
            running = asyncio.ensure_future(client.answer("depth", image(1)))
            await asyncio.sleep(0.1)
            calls = [asyncio.ensure_future(client.answer("depth", image(1))) for _ in range(6)]
            await asyncio.sleep(0.1)
            queued = servers["cloud"].snapshot().waiting
            for call in calls:
                call.cancel()
            await asyncio.sleep(0.1)
            left = servers["cloud"].snapshot().waiting
            runtimes["three"].gate.set()
            await running
            return queued, left, runtimes["three"].batches

    queued, left, batches = asyncio.run(scenario())
    assert (queued, left) == ({"three": 6}, {"three": 0})
    assert batches == [1]
