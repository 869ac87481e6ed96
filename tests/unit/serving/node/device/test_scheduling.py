"""A node's event loop gives way to its device, thread by thread."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest

from serving.node.device.batching import GreedyBatcher
from serving.node.device.executor import Executor
from serving.node.device.process_tuning import schedule_as_batch, schedule_as_usual
from support.one_query import submit

T = TypeVar("T")
pytestmark = pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux only")


class Policies:
    """A model that answers with its thread's scheduling policy."""

    weights_bytes = 4

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        return {"policy": np.full(len(images), os.sched_getscheduler(0))}

    def close(self) -> None:
        pass


def on_a_thread(main: Callable[[], T]) -> T:
    """Policies stay with their thread, and this one is the test runner's."""
    found: list[T] = []
    thread = threading.Thread(target=lambda: found.append(main()))
    thread.start()
    thread.join(timeout=20)
    return found[0]


def test_the_loop_gives_way_and_the_device_that_it_starts_does_not() -> None:
    async def node() -> tuple[int, int]:
        schedule_as_batch()
        executor = Executor(GreedyBatcher(8), lambda _: Policies())
        await executor.load("m")
        served = await submit(executor, "m", "policy", np.zeros((2, 2, 3), np.uint8))
        executor.close()
        return os.sched_getscheduler(0), int(served.prediction)

    assert on_a_thread(lambda: asyncio.run(node())) == (os.SCHED_BATCH, os.SCHED_OTHER)


def test_a_machine_that_knows_no_such_policies_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def refuse(*policy: object) -> None:
        asked.append(policy[1])
        raise PermissionError("a sandbox")

    before = os.sched_getscheduler(0)
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    schedule_as_batch()
    monkeypatch.delattr(os, "sched_setscheduler")
    schedule_as_usual()
    assert asked == [os.SCHED_BATCH]
    assert os.sched_getscheduler(0) == before
