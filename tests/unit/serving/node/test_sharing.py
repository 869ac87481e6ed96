"""Several tasks of one image: one pass a model, one way up a link, all answers or none."""

from __future__ import annotations

import asyncio
from typing import Unpack

import pytest

from serving.errors import NotServedError, RefusedError
from serving.node.device.batching import GreedyBatcher
from serving.node.device.executor import Executor
from serving.node.node_core import Routed
from serving.node.snapshot import NodeSnapshot
from serving.routing.routes import Target
from support.node_fakes import (
    TASKS,
    FakeRuntime,
    NodeOptions,
    Routes,
    hierarchy,
    image,
    models,
    put_in_force,
)
from support.one_query import submit

pytestmark = pytest.mark.real_time

HERE = Target("client", "client", "one")
EDGE = Target("edge", "edge", "two")
CLOUD = Target("cloud", "cloud", "three")


def ask(
    routes: Routes,
    count: int = 1,
    tasks: tuple[str, ...] = TASKS,
    **options: Unpack[NodeOptions],
) -> tuple[list[dict[str, Routed]], dict[str, FakeRuntime], NodeSnapshot, NodeSnapshot]:
    """`count` requests for `tasks`, one after another; (answers, runtimes, client's snapshot)."""

    async def scenario() -> tuple[
        list[dict[str, Routed]], dict[str, FakeRuntime], NodeSnapshot, NodeSnapshot
    ]:
        runtimes = models()
        async with hierarchy(runtimes, **options) as (client, servers):
            await put_in_force(servers, routes=routes)
            answers = [await client.answer_all(tasks, image(10 + n)) for n in range(count)]
            return answers, runtimes, client.snapshot(), servers["edge"].snapshot()

    return asyncio.run(scenario())


def test_one_pass_answers_every_task_of_a_model() -> None:
    routes = dict.fromkeys(TASKS, ((HERE, 1.0),))
    (answers,), runtimes, snapshot, _ = ask(routes)
    assert runtimes["one"].batches == [1]
    assert set(answers) == set(TASKS)
    assert snapshot.arrived == dict.fromkeys(TASKS, 1)
    assert snapshot.served == {"one": 2}
    (answers,), runtimes, _, _ = ask(routes, shared_passes=False)
    assert sum(runtimes["one"].batches) == 2
    assert set(answers) == set(TASKS)


@pytest.mark.parametrize(("shared", "images"), [(True, 1), (False, 2)])
def test_the_image_crosses_each_link_once_whatever_is_asked_of_it(
    shared: bool, images: int
) -> None:
    routes = {"depth": ((EDGE, 1.0),), "edges": ((CLOUD, 1.0),)}
    (answers,), runtimes, client, edge = ask(routes, shared_passes=shared)
    image_bytes = image(0).nbytes + 96
    assert client.sent_bytes == images * image_bytes
    assert edge.sent_bytes == image_bytes
    assert (runtimes["two"].batches, runtimes["three"].batches) == ([1], [1])
    assert float(answers["depth"].forwarded.served.prediction[0, 0]) == 12.0
    assert float(answers["edges"].forwarded.served.prediction[0, 0]) == 13.0
    assert {task: a.target.node for task, a in answers.items()} == {
        "depth": "edge",
        "edges": "cloud",
    }


def test_jobs_that_hold_the_same_array_share_a_row() -> None:
    runtime = FakeRuntime()

    async def scenario(shared_passes: bool) -> tuple[list[float], list[int]]:
        runtime.batches.clear()
        executor = Executor(GreedyBatcher(8), lambda _: runtime, shared_passes=shared_passes)
        await executor.load("m")
        runtime.gate.clear()
        blocking = asyncio.ensure_future(submit(executor, "m", "depth", image(9)))
        await asyncio.sleep(0.05)
        same, other = image(1), image(2)
        jobs = [("depth", same), ("depth", other), ("edges", same)]
        calls = [asyncio.ensure_future(submit(executor, "m", *job)) for job in jobs]
        await asyncio.sleep(0.05)
        runtime.gate.set()
        await blocking
        served = await asyncio.gather(*calls)
        executor.close()
        return [float(s.prediction[0, 0]) for s in served], list(runtime.batches)

    assert asyncio.run(scenario(True)) == ([1.0, 2.0, 1.0], [1, 2])
    assert asyncio.run(scenario(False)) == ([1.0, 2.0, 1.0], [1, 3])


def test_a_task_that_a_model_does_not_have_is_refused_and_harms_nobody() -> None:
    runtime = FakeRuntime()

    async def scenario() -> float:
        executor = Executor(GreedyBatcher(8), lambda _: runtime)
        await executor.load("m")
        with pytest.raises(RefusedError, match="does not serve"):
            await submit(executor, "m", "weather", image(0))
        served = await submit(executor, "m", "depth", image(3))
        executor.close()
        return float(served.prediction[0, 0])

    assert asyncio.run(scenario()) == 3.0


def test_a_request_is_answered_whole_or_refused_whole() -> None:
    routes = {"depth": ((HERE, 1.0),), "edges": ((EDGE, 0.5),)}

    async def scenario() -> tuple[list[int | str], list[int], NodeSnapshot]:
        runtimes = models()
        async with hierarchy(runtimes) as (client, servers):
            await put_in_force(servers, routes=routes)
            with pytest.raises(NotServedError):
                await client.answer_all(("depth", "weather"), image(1))
            outcomes: list[int | str] = []
            for _ in range(10):
                try:
                    outcomes.append(len(await client.answer_all(TASKS, image(1))))
                except RefusedError as refusal:
                    outcomes.append(refusal.reason)
            return outcomes, runtimes["one"].batches, client.snapshot()

    outcomes, batches, snapshot = asyncio.run(scenario())
    assert outcomes.count(2) == outcomes.count("shed") == 5
    assert batches == [1] * 5  # nothing was run for what is shed
    assert snapshot.refused == {"not_served": 2, "shed": 10}
    assert sum(snapshot.arrived.values()) == 22


def test_a_fault_of_one_part_is_answered_elsewhere() -> None:
    routes = {"depth": ((HERE, 1.0),), "edges": ((EDGE, 1.0),)}

    async def scenario() -> dict[str, Routed]:
        async with hierarchy(models()) as (client, servers):
            await put_in_force(servers, routes=routes)
            servers.kill("edge")
            return await client.answer_all(TASKS, image(1))

    assert {a.target.node for a in asyncio.run(scenario()).values()} == {"client"}
