"""Whole batches through the executor, with a runtime that takes a stated time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from serving.deploy.executor_bench import ExecutorBench
from serving.errors import RefusedError
from support.node_fakes import TASKS, FakeRuntime, image

pytestmark = pytest.mark.real_time


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime(batch_s=0.01, image_s=0.002)


@pytest.fixture
def bench(runtime: FakeRuntime) -> Iterator[ExecutorBench]:
    bench = ExecutorBench({"m": runtime, "other": FakeRuntime()}.__getitem__, max_batch=8)
    yield bench
    bench.close()


def test_a_batch_has_the_size_that_was_asked_for(
    bench: ExecutorBench, runtime: FakeRuntime
) -> None:
    bench.load("m", TASKS, [image(1), image(2), image(3)])
    spent_s = {size: bench.timed("m", size) for size in (1, 8, 3)}
    assert runtime.batches == [1, 8, 3]  # of three pictures, of which some come twice
    for size, seconds in spent_s.items():
        assert 0.01 + 0.002 * size <= seconds < 0.03 + 0.002 * size
    assert 0 <= bench.last_hand_over_s < 0.02


def test_models_take_turns(bench: ExecutorBench, runtime: FakeRuntime) -> None:
    bench.load("m", TASKS, [image(1)])
    bench.load("other", TASKS, [image(1)])
    assert bench.timed("other", 2) < bench.timed("m", 2)
    bench.unload("m")
    assert runtime.closed
    with pytest.raises(RefusedError, match="'m' is not loaded"):
        bench.timed("m", 1)
    assert bench.timed("other", 1) >= 0


def test_a_device_that_fails_is_an_error(bench: ExecutorBench, runtime: FakeRuntime) -> None:
    bench.load("m", TASKS, [image(1)])
    runtime.fails = True
    with pytest.raises(RefusedError, match="out of memory"):
        bench.timed("m", 2)
    runtime.fails = False
    assert bench.timed("m", 2) > 0
