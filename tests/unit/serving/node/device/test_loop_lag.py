"""How late a loop is, as it sees it itself."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from serving.logs.logger import NodeLogger
from serving.node.device.loop_lag import LoopLag

pytestmark = pytest.mark.real_time


def test_a_loop_that_was_held_up_knows_by_how_much_and_forgets() -> None:
    async def main() -> tuple[float, float, float]:
        lag = LoopLag()
        await asyncio.sleep(0.1)
        calm_s = lag.lag_s
        time.sleep(0.3)  # noqa: ASYNC251 - what no callback should do
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        held_up_s = lag.lag_s
        await asyncio.sleep(0.6)
        lag.stop()
        return calm_s, held_up_s, lag.lag_s

    calm_s, held_up_s, later_s = asyncio.run(main())
    assert calm_s < held_up_s
    assert 0.25 < held_up_s < 1.0
    assert later_s < held_up_s / 2


def test_a_loop_that_was_held_for_long_says_so_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.node.device.loop_lag.HELD_S", 0.1)

    async def main() -> None:
        lag = LoopLag(NodeLogger(logging.getLogger("serving.test"), "edge"))
        for _ in range(2):
            time.sleep(0.2)  # noqa: ASYNC251 - what no callback should do
            await asyncio.sleep(0.03)
        lag.stop()

    asyncio.run(main())
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("nobody was heard for 0.")


def test_stopped_it_leaves_the_loop_alone() -> None:
    async def main() -> float:
        lag = LoopLag()
        lag.stop()
        time.sleep(0.1)  # noqa: ASYNC251 - the same
        await asyncio.sleep(0.05)
        return lag.lag_s

    assert asyncio.run(main()) == 0
