"""Emulated devices: when batches begin and end, on a clock that the test turns."""

from __future__ import annotations

import asyncio
import threading

import pytest

from serving.node.device.batching import GreedyBatcher, WindowBatcher
from serving.node.device.device_time import EmulatedTime, HostTime
from serving.node.device.executor import Executor
from serving.node.device.served import Served
from support.node_fakes import FakeRuntime, image
from support.one_query import submit

LATENCY_S = 1.0
WINDOW_S = 0.4


class Clock:
    """Stands still unless somebody waits; whoever does is woken `late_s` too late."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.late_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def wait(self, delay_s: float) -> None:
        assert delay_s > 0
        self.now_s += delay_s + self.late_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def emulated(clock: Clock) -> EmulatedTime:
    return EmulatedTime(lambda model, size: LATENCY_S * size, WINDOW_S, clock, clock.wait)


def test_a_batch_takes_the_devices_time_however_fast_the_host_is(
    clock: Clock, emulated: EmulatedTime
) -> None:
    emulated.begin(100.0)
    clock.now_s += 0.01
    assert emulated.end("m", 2) == (100.0, 2.0, 2.0)
    assert clock.now_s == 102.0
    assert emulated.late_batches == 0


def test_a_batch_begins_when_it_was_ready_though_the_host_was_woken_later(
    clock: Clock, emulated: EmulatedTime
) -> None:
    clock.now_s = 100.2
    emulated.begin(100.0)
    assert emulated.end("m", 1).started_s == 100.0
    assert clock.now_s == 101.0


def test_the_next_batch_begins_at_the_emulated_end_and_lateness_does_not_add_up(
    clock: Clock, emulated: EmulatedTime
) -> None:
    clock.late_s = 0.05
    for number in range(3):
        emulated.begin(100.0)  # all were ready then
        spent = emulated.end("m", 1)
        assert spent.started_s == pytest.approx(100.0 + number)
        assert spent.spent_s == pytest.approx(1.05)  # what its queries saw
        assert spent.busy_s == pytest.approx(1.0)
    assert emulated.late_batches == 0


def test_half_of_the_answers_are_there_before_the_device_would_have_them(
    clock: Clock, emulated: EmulatedTime
) -> None:
    """The thread wakes 0.1 ms late, and the event loop takes 0.1 or 0.3 ms for a hand-over."""
    clock.late_s = 1e-4
    lateness_s = []
    for number in range(400):
        emulated.begin(clock.now_s)
        ends_s = clock.now_s + LATENCY_S
        started_s, spent_s, busy_s = emulated.end("m", 1)
        assert busy_s == pytest.approx(LATENCY_S)
        assert spent_s >= LATENCY_S * (1 - 1e-9)
        clock.now_s += 1e-4 if number % 2 else 3e-4
        emulated.handed(started_s + busy_s)
        lateness_s.append(clock.now_s - ends_s)
        clock.now_s += 0.5
    assert lateness_s[0] == pytest.approx(4e-4)
    assert sum(late_s > 0 for late_s in lateness_s[200:]) == pytest.approx(100, abs=10)
    assert max(map(abs, lateness_s[200:])) < 2.5e-4
    assert emulated.late_batches == 0


def test_a_host_that_computes_longer_than_the_device_is_late_and_delays_the_next(
    clock: Clock, emulated: EmulatedTime
) -> None:
    emulated.begin(100.0)
    clock.now_s = 101.5
    assert emulated.end("m", 1) == (100.0, 1.5, 1.5)
    assert emulated.late_batches == 1
    emulated.begin(100.0)
    assert emulated.end("m", 1).started_s == 101.5
    assert emulated.late_batches == 1


def test_a_host_that_is_woken_over_a_tenth_too_late_is_late(
    clock: Clock, emulated: EmulatedTime
) -> None:
    for clock.late_s, late in ((0.09, 0), (0.11, 1)):
        emulated.begin(clock.now_s)
        emulated.end("m", 1)
        assert emulated.late_batches == late


def test_a_hundredth_of_a_long_window_is_not_late_though_the_batch_is_short(clock: Clock) -> None:
    emulated = EmulatedTime(lambda model, size: 0.01, 2.0, clock, clock.wait)
    for clock.late_s, late in ((0.019, 0), (0.021, 1)):
        emulated.begin(clock.now_s)
        emulated.end("m", 1)
        assert emulated.late_batches == late
    emulated.begin(clock.now_s)
    clock.now_s += 0.011  # computed more slowly than the device: what comes next is delayed
    emulated.end("m", 1)
    assert emulated.late_batches == 2


def test_a_device_of_the_host_takes_what_the_host_takes() -> None:
    clock, busy = Clock(), Clock()
    own = HostTime(clock, busy)
    own.begin(90.0)
    clock.now_s += 3.0
    busy.now_s += 2.0
    assert own.end("m", 1) == (100.0, 3.0, 2.0)
    assert own.batch_s("m", 1, 3.0) == 3.0
    assert own.late_batches == 0


def test_an_executor_holds_its_answers_back_while_its_loop_goes_on() -> None:
    runtime, over = FakeRuntime(number=7), threading.Event()
    waited_s: list[float] = []

    def wait(delay_s: float) -> None:
        waited_s.append(delay_s)
        assert over.wait(20)

    async def scenario() -> list[Served]:
        emulated = EmulatedTime(lambda model, size: 60.0 * size, WINDOW_S, wait=wait)
        executor = Executor(GreedyBatcher(8), lambda _: runtime, device_time=emulated)
        await executor.load("m")
        first = asyncio.ensure_future(submit(executor, "m", "depth", image(1)))
        while not waited_s:
            await asyncio.sleep(0.001)
        rest = [asyncio.ensure_future(submit(executor, "m", "depth", image(i))) for i in (2, 3)]
        await asyncio.sleep(0.01)
        assert runtime.batches == [1]  # it is computed, and the next one has to wait
        assert not first.done()
        over.set()
        served = [await first, *(await asyncio.gather(*rest))]
        assert executor.busy_s == pytest.approx(60.0 + 120.0)
        assert executor.batches == 2
        executor.close()
        return served

    served = asyncio.run(scenario())
    assert [float(each.prediction[0, 0]) for each in served] == [8.0, 9.0, 10.0]
    assert [each.batch_size for each in served] == [1, 2, 2]
    assert 50.0 < waited_s[0] <= 60.0
    assert waited_s[1] > 150.0  # from the first one's emulated end


def test_a_batch_is_ready_when_its_last_query_came_or_its_window_closed() -> None:
    greedy: GreedyBatcher[str] = GreedyBatcher(8)
    windows: WindowBatcher[str] = WindowBatcher(1.0, 8)
    for batcher in (greedy, windows):
        batcher.push("m", "a", 0.2)
        batcher.push("m", "b", 0.7)
    soon, later = greedy.pop(0.9), windows.pop(1.1)
    assert soon is not None
    assert later is not None
    assert (soon.ready_s, soon.closed_s) == (0.7, 0.9)
    assert (later.ready_s, later.closed_s) == (1.0, 1.0)
