"""When a device is said to hang, fail or be gone: the decision, on a clock that the test moves."""

from __future__ import annotations

import asyncio

import pytest

from serving.node.device.device_watch import (
    LOOK_S,
    DeviceHealth,
    DeviceWatch,
    Pass,
    Periodic,
    hang_bound_s,
)


def watched_s(watch: DeviceWatch, running: Pass, most_s: float) -> float | None:
    """Seconds after which looks find that `running` hangs; None if they do not until `most_s`."""
    now_s = 0.0
    watch.look(running, now_s)
    while now_s < most_s:
        now_s += LOOK_S
        watch.look(running, now_s)
        if watch.health(ended=False, failing=False) is DeviceHealth.HUNG:
            return now_s
    return None


@pytest.mark.parametrize(("estimate_s", "bound_s"), [(0.0, 5.0), (0.02, 5.0), (0.6, 6.0)])
def test_a_batch_has_ten_times_its_estimate_and_five_seconds_at_least(
    estimate_s: float, bound_s: float
) -> None:
    assert hang_bound_s(estimate_s) == pytest.approx(bound_s)


def test_a_pass_hangs_when_its_bound_is_over_and_not_before() -> None:
    found_s = watched_s(DeviceWatch(0.0), Pass("m", (), 5.0), 60.0)
    assert found_s == 5.0 + LOOK_S
    assert watched_s(DeviceWatch(0.0), Pass("m", (), 61.0), 60.0) is None


def test_each_pass_has_its_time_to_itself() -> None:
    watch = DeviceWatch(0.0)
    for number in range(40):  # 80 s of passes of 2 s each
        running = Pass("m", (), 5.0)
        for look in range(4):
            watch.look(running, number * 2.0 + look * LOOK_S)
            assert watch.health(ended=False, failing=False) is DeviceHealth.WELL


def test_a_process_that_was_stopped_for_a_minute_has_not_computed_for_it() -> None:
    watch, running = DeviceWatch(0.0), Pass("m", (), 5.0)
    watch.look(running, 0.0)
    watch.look(running, 60.0)
    assert watch.health(ended=False, failing=False) is DeviceHealth.WELL


def test_a_pass_that_ends_after_all_heals_the_device() -> None:
    watch, running = DeviceWatch(0.0), Pass("m", (), 5.0)
    assert watched_s(watch, running, 60.0) is not None
    watch.look(running, 100.0)
    assert watch.health(ended=False, failing=False) is DeviceHealth.HUNG
    running.ended = True
    watch.look(running, 101.0)
    assert watch.health(ended=False, failing=False) is DeviceHealth.WELL


def test_the_worst_that_is_known_is_said() -> None:
    watch = DeviceWatch(0.0)
    assert watch.health(ended=False, failing=True) is DeviceHealth.FAILING
    watched_s(watch, Pass("m", (), 5.0), 60.0)
    assert watch.health(ended=False, failing=True) is DeviceHealth.HUNG
    assert watch.health(ended=True, failing=True) is DeviceHealth.DEAD
    assert [health for health in DeviceHealth if not health.answers] == ["hung", "lost", "dead"]


def test_a_periodic_call_that_raises_is_not_the_last() -> None:
    calls: list[int] = []

    async def scenario() -> list[str]:
        loop = asyncio.get_running_loop()
        faults: list[str] = []
        loop.set_exception_handler(lambda _, context: faults.append(str(context["exception"])))
        enough = asyncio.Event()

        def call() -> None:
            calls.append(1)
            if len(calls) == 3:
                enough.set()
            raise RuntimeError("a look that fails")

        periodic = Periodic(0.0, call)
        await asyncio.wait_for(enough.wait(), 20)
        periodic.stop()
        return faults

    assert asyncio.run(scenario())[:3] == ["a look that fails"] * 3
