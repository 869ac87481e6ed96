"""Row K5: what arrived over a link in each second, beside what was recorded of it."""

from __future__ import annotations

import numpy as np
import pytest

from cluster.link_trace import LinkTrace
from link_trace_followed import compare_seconds, follow
from serving.node.links.link_capacity import TracedCapacity


def trace(*bytes_per_s: float) -> LinkTrace:
    steps = len(bytes_per_s)
    return LinkTrace("test", np.arange(steps, dtype=float), np.array(bytes_per_s), float(steps))


def test_what_arrives_too_much_or_too_little_counts_as_much_as_it_is_off() -> None:
    capacity = TracedCapacity(trace(10_000.0, 20_000.0, 1_000.0), began_s=5.0)
    arrived = [(5.1, 9_000), (6.5, 22_000), (7.5, 3_000), (8.5, 99_000)]
    found = compare_seconds(arrived, capacity, 5.0, 3, message_bytes=1_000)
    assert found.counted_seconds == 2  # the third has room for one message alone
    assert found.mean_absolute_error == pytest.approx(0.1)
    assert found.pooled_error == pytest.approx((1_000 + 2_000 + 2_000) / 31_000)
    assert found.total_ratio == pytest.approx(34_000 / 31_000)


def test_nothing_arriving_is_an_error_of_one() -> None:
    found = compare_seconds([], TracedCapacity(trace(10_000.0)), 0.0, 2, message_bytes=1_000)
    assert (found.mean_absolute_error, found.total_ratio) == (1.0, 0.0)


@pytest.mark.real_time
def test_two_processes_follow_a_trace_over_a_socket() -> None:
    found = follow(trace(400_000.0, 0.0, 800_000.0), seconds=3, message_bytes=4_000)
    assert found.counted_seconds == 2
    assert found.mean_absolute_error < 0.25
    assert 0.8 < found.total_ratio <= 1.01
