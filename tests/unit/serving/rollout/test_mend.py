"""A node that differs from its assignment, for whatever reason, mends itself."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from serving.node.control import ServerControl
from serving.rollout.assignment import Assignment
from serving.rollout.mend import keep_assignment
from serving.routing.routes import RouteTable
from support.changing_cluster import OLD, ROOMY, cluster

pytestmark = pytest.mark.real_time


def test_a_node_that_lost_models_or_routes_holds_them_again_after_its_next_look(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, ROOMY) as found:
            looks = asyncio.Semaphore(0)
            failures = [ConnectionError("no answer")]

            async def read(name: str) -> Assignment | None:
                if failures:
                    raise failures.pop()
                return found.store.assignment(name)

            async def next_look(seconds: float) -> None:
                assert seconds == 5.0
                await looks.acquire()

            keeping = [
                asyncio.ensure_future(
                    keep_assignment(
                        ServerControl(server), partial(read, name), asyncio.Lock(), name,
                        sleep=next_look,
                    )
                )
                for name, server in found.servers.items()
            ]  # fmt: skip
            client, edge = found.servers["client"], found.servers["edge"]
            await edge.retire(1, frozenset())
            await edge.load(("m0",))
            client._router.replace(RouteTable(0, {}))
            for _ in range(2):  # the first one of one node fails
                for _ in keeping:
                    looks.release()
                await asyncio.sleep(0.1)
            found.check(OLD)
            assert not any(task.done() for task in keeping)
            for task in keeping:
                task.cancel()

    asyncio.run(scenario())
    said = [record.getMessage() for record in caplog.records]
    assert any("cannot look after itself: ConnectionError: no answer" in text for text in said)
    assert any("mended: unload m0; load m1" in text for text in said)
    assert any("mended: follow version 1" in text for text in said)


def test_a_node_mends_nothing_while_a_change_speaks_to_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, ROOMY) as found:
            lock = asyncio.Lock()
            edge = ServerControl(found.servers["edge"])
            read = 0

            async def read_assignment() -> Assignment | None:
                nonlocal read
                read += 1
                return found.store.assignment("edge")

            async with lock:
                keeping = asyncio.ensure_future(
                    keep_assignment(edge, read_assignment, lock, "edge", period_s=0.001)
                )
                await asyncio.sleep(0.05)
                assert read == 0
            await asyncio.sleep(0.05)
            assert read > 0
            keeping.cancel()

    asyncio.run(scenario())
