"""Simulated time: a loop of its own, on which the same happens as on asyncio's."""

from __future__ import annotations

import asyncio
import gc
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from cluster.timeline import LinkSlowdown, TimelineEvent
from planner.solution import Solution
from serving.setting.setting import Setting
from serving.simulation import simulate as simulate_module
from serving.simulation.virtual_time import VirtualTimeLoop, run_in_virtual_time
from serving.traffic.measurement import Measurements
from support.demo_setting import demo_demand
from support.same_rows import assert_same_rows

T = TypeVar("T")


class _JumpingSelector(selectors.SelectSelector):
    """When nothing is ready, the clock of asyncio's own loop moves to its next timer."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is not None:
            self.now_s += timeout
        return ready


class PlainLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def run_plainly(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=PlainLoop) as runner:
        return runner.run(main)


TIMELINE = (
    TimelineEvent(at_s=2.0, slow_link=LinkSlowdown(link=("client-0", "edge-0"), factor=4.0)),
    TimelineEvent(at_s=3.0, cut_link=("client-1", "edge-0")),
    TimelineEvent(at_s=4.0, kill_node="client-2"),
    TimelineEvent(at_s=9.0, lose_device="edge-0"),
)


@pytest.mark.parametrize("timeline", [(), TIMELINE])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_is_the_same_as_on_asyncios_own_loop(
    seed: int,
    timeline: tuple[TimelineEvent, ...],
    setting: Setting,
    solution: Solution,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    phase = demo_demand().phases[0].model_copy(update={"duration_s": 14.0})

    def simulate() -> Measurements:
        return simulate_module.simulate(
            setting, solution.plan, [phase], seed=seed, timeline=timeline
        )

    rows = simulate()
    monkeypatch.setattr(simulate_module, "run_in_virtual_time", run_plainly)
    plain = simulate()
    assert_same_rows(rows, plain, atol=1e-9)
    assert rows.run.busy_s == pytest.approx(plain.run.busy_s)
    assert rows.run.link_bytes == plain.run.link_bytes


def test_what_is_due_at_the_same_time_happens_in_the_order_in_which_it_was_asked_for() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        seen: list[int] = []
        for number in range(20):
            loop.call_at(1.0, seen.append, number)
        loop.call_at(1.0, loop.call_soon, seen.append, 99)
        await asyncio.sleep(2.0)
        return seen

    assert run_in_virtual_time(main()) == [*range(20), 99]


def test_a_timer_that_is_cancelled_neither_fires_nor_moves_the_clock() -> None:
    async def main() -> tuple[list[int], float, list[bool]]:
        loop = asyncio.get_running_loop()
        seen: list[int] = []
        late, soon = loop.call_later(5.0, seen.append, 1), loop.call_soon(seen.append, 2)
        third = loop.call_later(0.5, seen.append, 3)
        late.cancel()
        soon.cancel()
        await asyncio.sleep(1.0)
        return seen, loop.time(), [late.cancelled(), soon.cancelled(), third.cancelled()]

    assert run_in_virtual_time(main()) == ([3], 1.0, [True, True, False])


def test_a_callback_from_another_thread_is_called() -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[str] = loop.create_future()
        loop.call_soon_threadsafe(found.set_result, "heard")
        return await found

    assert run_in_virtual_time(main()) == "heard"


def test_time_out_and_cancel_work_as_ever() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3.0):
                await asyncio.Event().wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(-1.0):
                await asyncio.sleep(1.0)
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(main()) == 3.0


def test_a_loop_that_runs_is_not_run_again() -> None:
    loop = VirtualTimeLoop()

    async def main() -> None:
        assert loop.is_running()
        with pytest.raises(RuntimeError, match="already running"):
            loop.run_forever()

    loop.run_until_complete(main())
    loop.close()


def test_a_loop_that_is_run_in_pieces_stands_still_between_them() -> None:
    loop = VirtualTimeLoop()
    seen: list[float] = []

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.4)
            seen.append(loop.time())

    ticking = loop.create_task(tick())
    for ends_s in (1.0, 2.0):
        loop.run_until_complete(asyncio.sleep(1.0))
        assert loop.time() == ends_s
    assert seen == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
    ticking.cancel()
    loop.run_until_complete(asyncio.gather(ticking, return_exceptions=True))
    loop.close()


def test_what_the_garbage_collector_was_told_stands_again_after_a_run() -> None:
    usual = gc.get_threshold()

    async def main() -> tuple[int, int, int]:
        return gc.get_threshold()

    assert run_in_virtual_time(main()) != usual
    assert gc.get_threshold() == usual
