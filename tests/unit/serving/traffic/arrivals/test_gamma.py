"""Gamma gaps: their mean and spread, from the first arrival on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.traffic.arrivals.gamma import unit_gamma


@pytest.mark.parametrize("cv", [0.5, 1.0, 3.0])
def test_gaps_have_mean_one_and_the_stated_spread(cv: float) -> None:
    passed = unit_gamma(np.random.default_rng(1), 1 / cv**2, 200_000.0)
    gaps = np.diff(passed)
    # The mean of 200,000 gaps deviates by cv / 447.
    assert gaps.mean() == pytest.approx(1.0, abs=4 * cv / 447)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.05)


@pytest.mark.parametrize("cv", [0.5, 4.0])
def test_as_many_arrive_in_the_first_seconds_as_later(cv: float) -> None:
    """A process that began with a whole gap would have 7.5 arrivals too many with cv 4."""
    counts = [len(unit_gamma(np.random.default_rng(seed), 1 / cv**2, 5.0)) for seed in range(4_000)]
    assert np.mean(counts) == pytest.approx(5.0, abs=4 * np.std(counts) / 4_000**0.5)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.05, 20), st.floats(0, 500))
def test_arrivals_rise_and_lie_within_the_time(seed: int, shape: float, total: float) -> None:
    passed = unit_gamma(np.random.default_rng(seed), shape, total)
    assert np.all(np.diff(passed) >= 0)
    assert np.all((passed >= 0) & (passed < total))
    longer = unit_gamma(np.random.default_rng(seed), shape, total + 100.0)
    assert np.array_equal(longer[: len(passed)], passed)
