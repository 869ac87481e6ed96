"""What runs beside the traffic of a live run, without a cluster."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.providers.state import ClusterError
from serving.experiment_runs import on_cluster
from serving.experiment_runs.on_cluster import beside_each_other, wait_for_nodes


async def waits(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("waits")


async def fails() -> None:
    await asyncio.sleep(0)
    raise ClusterError("edge-0 has no process")


def test_the_first_of_several_that_fails_ends_the_others_and_says_why() -> None:
    ended: list[str] = []
    both = beside_each_other([lambda: waits(ended), fails])
    with pytest.raises(ClusterError, match="edge-0 has no process"):
        asyncio.run(asyncio.wait_for(both(), 5.0))
    assert ended == ["waits"]


def test_all_of_them_end_with_the_traffic() -> None:
    ended: list[str] = []

    async def traffic() -> None:
        running = asyncio.ensure_future(
            beside_each_other([lambda: waits(ended), lambda: waits(ended)])()
        )
        await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(traffic())
    assert ended == ["waits", "waits"]


class SlowFleet:
    """Nodes of which one answers again at the third look."""

    topology = SimpleNamespace(nodes=[SimpleNamespace(name="edge-0"), SimpleNamespace(name="c")])

    def __init__(self) -> None:
        self.looks = 0

    def snapshots_within(self, limit_s: float) -> dict[str, Any]:
        self.looks += 1
        return {"c": None, "edge-0": None} if self.looks == 3 else {"c": None}


def test_a_run_waits_until_every_node_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now_s=0.0)

    def sleep(pause_s: float) -> None:
        clock.now_s += pause_s

    monkeypatch.setattr(
        on_cluster, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: clock.now_s)
    )
    fleet: Any = SlowFleet()
    wait_for_nodes(fleet)
    assert fleet.looks == 3
    fleet.looks = 3
    with pytest.raises(ClusterError, match="no answer of edge-0 for 90 s"):
        wait_for_nodes(fleet)
