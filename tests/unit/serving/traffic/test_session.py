"""A run keeps its records whatever becomes of what runs beside it."""

from __future__ import annotations

import asyncio

import pytest

from serving.node.snapshot import NodeSnapshot
from serving.traffic import session


@pytest.mark.parametrize("when_s", [0.0, 0.02])
def test_a_companion_that_fails_is_told_of_and_costs_nothing(when_s: float) -> None:
    async def fails() -> None:
        await asyncio.sleep(when_s)
        raise RuntimeError("the loop broke")

    async def scenario() -> str:
        companion = asyncio.ensure_future(fails())
        await asyncio.sleep(0.05)
        return await session._finish(companion)

    assert asyncio.run(scenario()) == "RuntimeError: the loop broke"


def test_a_companion_that_runs_is_stopped_without_a_word() -> None:
    async def scenario() -> str:
        return await session._finish(asyncio.ensure_future(asyncio.sleep(60)))

    assert asyncio.run(scenario()) == ""


def test_a_node_that_is_restarted_was_not_busy_for_less_than_nothing() -> None:
    def at(busy_s: float) -> NodeSnapshot:
        return NodeSnapshot("n", 0.0, busy_s, 0, 0, (), 1, {}, {}, {}, {})

    before, after = {"a": at(10.0), "b": at(10.0)}, {"a": at(12.5), "b": at(1.5)}
    assert session._between(before, after, lambda seen: seen.busy_s) == {"a": 2.5, "b": 1.5}


def test_late_batches_are_counted_where_a_device_is_emulated_only() -> None:
    def at(batches: int, late: int, emulated: str = "profile") -> NodeSnapshot:
        return NodeSnapshot(
            "n", 0.0, 0.0, batches, 0, (), 1, {}, {}, {}, {}, late_batches=late, emulated=emulated
        )

    before = {"a": at(10, 1), "b": at(10, 0, "")}
    after = {"a": at(30, 4), "b": at(30, 0, "")}
    assert session._batches_between(before, after) == ({"a": 20}, {"a": 3})
