"""A run keeps its records whatever becomes of what runs beside it."""

from __future__ import annotations

import asyncio

import pytest

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
