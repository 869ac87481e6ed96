"""Timing batches on a fake clock: turns, pauses, when a median is known, what there is time for."""

from __future__ import annotations

from collections.abc import Callable
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiling.batch_latency import PAUSE_S
from profiling.sampling import Sampled, SamplingRule, affordable, median_interval, sample_sizes

LONG = SamplingRule(budget_s=1000.0)


class FakeDevice:
    """Takes 10 ms a batch and 2 ms a query of its own clock's time, 5 ms more after a pause, and
    100 ms more for the first batch of a size; `noise` is a factor on the n-th batch."""

    def __init__(self, noise: Callable[[int], float] = lambda _: 1.0) -> None:
        self.now_s = 0.0
        self.runs: list[int] = []
        self.paused = False
        self._noise = noise

    def clock(self) -> float:
        return self.now_s

    def pause(self, seconds: float) -> None:
        self.now_s += seconds
        self.paused = True

    def timed(self, size: int) -> float:
        first = size not in self.runs
        self.runs.append(size)
        spent_s = 0.010 + 0.002 * size + 0.005 * self.paused + 0.1 * first
        spent_s *= self._noise(len(self.runs))
        self.paused = False
        self.now_s += spent_s
        return spent_s


def sample(device: FakeDevice, sizes: tuple[int, ...], rule: SamplingRule = LONG) -> Sampled:
    return sample_sizes(device.timed, sizes, rule, pause=device.pause, clock=device.clock)


def test_sizes_take_turns_and_the_first_batch_of_each_stands_apart() -> None:
    device = FakeDevice()
    found = sample(device, (1, 4, 8))
    assert device.runs[:6] == [1, 4, 8, 1, 4, 8]
    assert device.runs[6:15] == [1, 1, 4, 4, 8, 8, 1, 4, 8]  # every second round straight, too
    assert [entry.batch for entry in found.latency] == [1, 4, 8]
    assert found.left_out == ()
    entry = found.latency[1]
    assert entry.p50_s == pytest.approx(0.023)  # after a pause
    assert entry.straight_p50_s == pytest.approx(0.018)
    assert entry.first_s == pytest.approx(0.118)
    assert entry.low_s == pytest.approx(0.023)
    assert entry.high_s == pytest.approx(0.023)


def test_a_device_without_noise_is_known_after_six_runs() -> None:
    found = sample(FakeDevice(), (1, 2))
    assert [entry.runs for entry in found.latency] == [6, 6]
    assert all(entry.settled for entry in found.latency)


def test_noise_makes_more_runs_until_the_interval_is_narrow() -> None:
    random = np.random.default_rng(3)
    found = sample(FakeDevice(lambda _: 1 + 0.2 * random.random()), (1, 2))
    for entry in found.latency:
        assert entry.settled
        assert 6 < entry.runs < 60
        assert entry.low_s is not None
        assert entry.high_s is not None
        assert entry.high_s - entry.low_s <= LONG.width * entry.p50_s
        assert entry.low_s <= entry.p50_s <= entry.high_s
        assert entry.p50_s <= entry.p95_s <= entry.p99_s


def test_where_the_time_is_spent_first_it_says_so() -> None:
    device = FakeDevice(lambda count: 1.0 + 2.0 * (count % 3 == 0))
    found = sample(device, (1, 2, 4), SamplingRule(width=0.01, budget_s=3.0))
    assert any(not entry.settled for entry in found.latency)
    assert device.now_s < 3.0 + 1.0  # the first batches and a last round beside the budget


def test_most_runs_are_an_end_as_well() -> None:
    noisy = FakeDevice(lambda count: 1.0 + count % 7)
    found = sample(noisy, (1, 2), SamplingRule(width=1e-6, budget_s=1e6, most_runs=20))
    assert [entry.runs for entry in found.latency] == [20, 20]


def test_slow_batches_are_not_run_straight_after_one_another() -> None:
    found = sample(FakeDevice(lambda _: 10.0), (1, 2))
    assert [entry.straight_p50_s for entry in found.latency] == [None, None]
    assert found.latency[0].straight_s == found.latency[0].p50_s


def test_without_time_two_sizes_are_run_six_times() -> None:
    device = FakeDevice()
    found = sample(device, (1, 2, 3, 4, 8), SamplingRule(budget_s=0.0))
    assert [(entry.batch, entry.runs) for entry in found.latency] == [(1, 6), (2, 6)]
    assert found.left_out == (3, 4, 8)
    assert set(device.runs) == {1, 2}


def test_sizes_between_powers_of_two_are_left_out_first_and_the_largest_never() -> None:
    estimate_s = dict.fromkeys((1, 2, 3, 4, 6, 8), 0.01)
    one_s = 6 * (PAUSE_S + 0.01) + 3 * 0.01
    kept = {
        count: affordable(estimate_s, SamplingRule(budget_s=count * one_s + 1e-9))
        for count in range(1, 7)
    }
    assert kept[6] == (1, 2, 3, 4, 6, 8)
    assert kept[5] == (1, 2, 3, 4, 8)
    assert kept[4] == (1, 2, 4, 8)
    assert kept[3] == kept[1] == (1, 2, 4, 8)


@pytest.mark.parametrize("runs", range(12))
def test_the_interval_holds_the_median_with_95_percent(runs: int) -> None:
    interval = median_interval([float(value) for value in range(runs)])
    if runs < 6:
        assert interval is None
        return
    assert interval is not None
    rank = int(interval[0])
    assert interval[1] == runs - 1 - rank
    missed = [
        sum(comb(runs, k) for k in range(end)) / 2 ** (runs - 1) for end in (rank + 1, rank + 2)
    ]
    assert missed[0] <= 0.05 < missed[1]


@given(st.lists(st.floats(1e-4, 10.0), min_size=6, max_size=40))
def test_the_interval_lies_around_the_median(values_s: list[float]) -> None:
    interval = median_interval(values_s)
    assert interval is not None
    assert min(values_s) <= interval[0] <= np.median(values_s) <= interval[1] <= max(values_s)
