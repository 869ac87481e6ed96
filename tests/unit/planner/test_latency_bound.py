"""What links and windows add to a query's latency, by hand."""

from __future__ import annotations

import numpy as np

from planner.latency_bound import link_s, window_bound_s


def test_a_link_takes_its_round_trip_and_the_bytes_time() -> None:
    np.testing.assert_allclose(link_s(np.array([0.0, 500.0]), 1_000.0, 0.02), [0.02, 0.52])


def test_without_bandwidth_only_a_query_without_bytes_crosses() -> None:
    np.testing.assert_array_equal(link_s(np.array([0.0, 500.0]), 0.0, 0.02), [0.02, np.inf])


def test_an_answer_comes_within_two_windows() -> None:
    assert window_bound_s(0.4) == 0.8
