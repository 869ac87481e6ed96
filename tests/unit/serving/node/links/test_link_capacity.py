"""What a link carries between two times, and when so much has left: each is the other's inverse."""

from __future__ import annotations

import numpy as np
import pytest

from cluster.link_trace import LinkTrace
from serving.node.links.link_capacity import LinkCapacity, SteadyCapacity, TracedCapacity


def trace(*bytes_per_s: float, step_s: float = 1.0) -> LinkTrace:
    starts_s = np.arange(len(bytes_per_s)) * np.float64(step_s)
    return LinkTrace(
        "test", starts_s.astype(np.float64), np.array(bytes_per_s), len(bytes_per_s) * step_s
    )


def test_a_steady_link_carries_its_bandwidth() -> None:
    link = SteadyCapacity(100.0)
    assert link.carried_bytes(1.0, 3.0) == 200.0
    assert link.carried_bytes(3.0, 1.0) == 0.0
    assert link.left_s(1.0, 200.0) == 3.0
    assert link.times(0.5).left_s(1.0, 200.0) == 5.0


def test_a_trace_is_followed_step_by_step_and_begins_again() -> None:
    link = TracedCapacity(trace(100.0, 0.0, 50.0))
    assert link.carried_bytes(0.0, 0.5) == 50.0
    assert link.carried_bytes(0.5, 2.5) == 75.0
    assert link.carried_bytes(0.0, 3.0) == 150.0
    assert link.carried_bytes(2.5, 3.25) == 50.0
    assert link.carried_bytes(1.0, 301.0) == 100 * 150.0
    assert [link.rate_bytes_per_s(at_s) for at_s in (0.0, 1.0, 2.9, 3.0)] == [100, 0, 50, 100]


def test_bytes_wait_through_a_stretch_without_capacity() -> None:
    link = TracedCapacity(trace(100.0, 0.0, 50.0))
    assert link.left_s(0.5, 50.0) == 1.0  # the last of them just before it
    assert link.left_s(0.5, 51.0) == pytest.approx(2.02)
    assert link.left_s(1.5, 25.0) == 2.5
    assert link.left_s(1.5, 0.0) == 1.5
    assert link.left_s(0.0, 150.0) == 3.0
    assert link.left_s(0.0, 1500.0) == 30.0
    ends_idle = TracedCapacity(trace(100.0, 0.0))
    assert ends_idle.left_s(0.0, 100.0) == 1.0  # and not at the end of the loop
    assert ends_idle.left_s(0.0, 300.0) == 5.0
    begins_idle = TracedCapacity(trace(0.0, 100.0))
    assert begins_idle.left_s(0.0, 100.0) == 2.0
    assert begins_idle.left_s(2.0, 50.0) == 3.5


def test_a_trace_begins_when_it_is_told_to_where_its_shift_says() -> None:
    link = TracedCapacity(trace(100.0, 0.0, 50.0), began_s=10.0, shift_s=2.0)
    assert link.carried_bytes(10.0, 11.0) == 50.0
    assert link.carried_bytes(11.0, 12.0) == 100.0
    assert link.begun_at(20.0).carried_bytes(20.0, 21.0) == 50.0
    assert link.times(2.0).carried_bytes(10.0, 11.0) == 100.0
    assert link.times(2.0).begun_at(20.0).carried_bytes(20.0, 21.0) == 100.0


@pytest.mark.parametrize("seed", range(20))
def test_when_bytes_have_left_so_many_were_carried(seed: int) -> None:
    draw = np.random.default_rng(seed)
    steps = int(draw.integers(1, 40))
    starts_s = np.concatenate([[0.0], np.cumsum(draw.uniform(0.01, 2.0, steps - 1))])
    rates = draw.uniform(0.0, 1e6, steps) * (draw.random(steps) > 0.3)
    rates[int(draw.integers(steps))] = 1e5
    recorded = LinkTrace("test", starts_s, rates, float(starts_s[-1]) + 0.7)
    traced = TracedCapacity(recorded, 5.0, 1.3)
    links: list[LinkCapacity] = [SteadyCapacity(3e5), traced, traced.times(0.1)]
    for link in links:
        for begin_s in draw.uniform(-50.0, 5000.0, 50).tolist():
            size = float(draw.uniform(1.0, 1e6))
            left_s = link.left_s(begin_s, size)
            assert link.carried_bytes(begin_s, left_s) == pytest.approx(size, abs=1e-2)
            just_before = link.carried_bytes(begin_s, left_s - 1e-6)
            assert just_before < size  # it is the first such time
            middle_s = float(draw.uniform(begin_s, left_s))
            parts = link.carried_bytes(begin_s, middle_s) + link.carried_bytes(middle_s, left_s)
            assert parts == pytest.approx(size, abs=1e-2)


def test_many_messages_leave_as_their_sum_does() -> None:
    link = TracedCapacity(trace(1e6, 0.0, 3e5, 2e6, step_s=0.2))
    at_s = 0.0
    for _ in range(2000):
        at_s = link.left_s(at_s, 27_000.0)
    assert at_s == pytest.approx(link.left_s(0.0, 2000 * 27_000.0), abs=1e-6)
