"""The load generator's arithmetic, on doors that answer as told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Self

import numpy as np
import pytest

from http_door import DoorError
from load import Load, await_ready, closed_loop, open_loop


class FakeDoor:
    """Answers after `spent_s`; refuses every query of the image b"no"."""

    def __init__(self, *bodies: bytes, spent_s: float = 0.0, broken: int = 0) -> None:
        self.bodies: Sequence[bytes] = bodies
        self.spent_s = spent_s
        self.broken = broken
        self.calls = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *ended: object) -> None:
        return None

    async def call(self, body: bytes) -> bytes | None:
        self.calls += 1
        await asyncio.sleep(self.spent_s)
        if self.calls <= self.broken:
            raise DoorError("loading")
        return None if body == b"no" else b"<" + body + b">"


def test_a_closed_loop_has_one_query_out_for_each_caller() -> None:
    door = FakeDoor(b"yes", spent_s=0.05)
    load = asyncio.run(closed_loop(door, callers=4, seconds=0.2))
    assert load.answered_qps == pytest.approx(4 / 0.05, rel=0.3)
    assert load.quantile_ms(0.5) == pytest.approx(50, rel=0.5)
    assert (load.sent, load.refused, load.failed) == (door.calls, 0, 0)


def test_refusals_are_counted_apart_from_answers() -> None:
    load = asyncio.run(closed_loop(FakeDoor(b"yes", b"no", spent_s=0.01), callers=2, seconds=0.1))
    assert load.refused > 0
    assert len(load.latency_s) + load.refused == load.sent


def test_an_open_loop_sends_what_is_due_and_counts_faults() -> None:
    door = FakeDoor(b"yes", broken=10**9)
    load = asyncio.run(open_loop(door, rate_qps=200.0, seconds=0.3, drop_s=0.1))
    assert load.failed == load.sent > 30
    assert load.answered_qps == 0
    assert load.quantile_ms(0.99) == np.inf


def test_an_open_loop_drops_its_head() -> None:
    door = FakeDoor(b"yes")
    load = asyncio.run(open_loop(door, rate_qps=200.0, seconds=0.2, drop_s=0.2))
    assert load.sent < door.calls
    assert load.lateness_p99_s >= 0


def test_goodput_counts_answers_within_the_bound_only() -> None:
    load = Load(2.0, 5, np.array([0.1, 0.2, 0.5, 0.6]), refused=1, failed=0)
    assert load.within_qps(0.5) == 1.5
    assert load.answered_qps == 2.0


def test_a_server_is_ready_once_it_answers_rightly() -> None:
    door = FakeDoor(b"yes", broken=2)
    asyncio.run(await_ready(door, b"yes"))
    assert door.calls == 3
    with pytest.raises(DoorError, match="differs"):
        asyncio.run(await_ready(FakeDoor(b"yes"), b"other"))
    with pytest.raises(DoorError, match=r"no answer within 0\.1 s; last: loading"):
        asyncio.run(await_ready(FakeDoor(b"yes", broken=10**9), b"yes", timeout_s=0.1))
