"""The search for the largest load: right where the answer is known, and it stops."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.traffic.measurement import Measurements
from serving.traffic.peak import Trial, count_within, search_peak, wilson_interval


def steep(capacity: float, sent: int = 10_000) -> object:
    """All within the bound up to `capacity`; beyond it, only so many as fit."""

    def measure(factor: float, seed: int) -> tuple[int, int]:
        return int(sent * min(1.0, capacity / factor)), sent

    return measure


@settings(max_examples=100, deadline=None)
@given(
    capacity=st.floats(0.05, 15),
    first=st.floats(0.1, 10),
    tolerance=st.floats(0.01, 0.5),
    share=st.floats(0.5, 0.995),
)
def test_the_peak_is_where_it_is_and_the_bracket_is_as_narrow_as_asked(
    capacity: float, first: float, tolerance: float, share: float
) -> None:
    peak = search_peak(
        steep(capacity),  # type: ignore[arg-type]
        share=share, first=first, tolerance=tolerance,
    )  # fmt: skip
    assert peak.held is not None
    assert peak.failed is not None
    assert peak.held.factor * (1 - 1e-3) <= capacity / share
    assert peak.failed.factor * (1 + 1e-3) >= capacity / share
    assert peak.failed.factor <= peak.held.factor * (1 + tolerance)
    assert len(peak.trials) <= 20
    assert {peak.held, peak.failed} <= set(peak.trials)
    assert peak.held.holds
    assert not peak.failed.holds


def test_a_load_that_never_holds_or_never_fails_ends_the_search() -> None:
    never = search_peak(lambda factor, seed: (0, 100), share=0.9)
    assert never.held is None
    assert never.failed is not None
    assert [trial.factor for trial in never.trials] == [2.0**-n for n in range(7)]
    always = search_peak(lambda factor, seed: (100, 100), share=0.9)
    assert always.failed is None
    assert always.held is not None
    assert always.held.factor == 64.0


def test_a_load_holds_on_all_seeds_and_a_clear_failure_takes_one() -> None:
    asked: list[tuple[float, int]] = []

    def measure(factor: float, seed: int) -> tuple[int, int]:
        asked.append((factor, seed))
        return (100 if factor < 1.5 else 20), 100

    peak = search_peak(measure, share=0.9, tolerance=0.9, seeds=3)
    assert asked == [(1.0, 0), (1.0, 1), (1.0, 2), (2.0, 0), (pytest.approx(sqrt(2)), 0),
                     (pytest.approx(sqrt(2)), 1), (pytest.approx(sqrt(2)), 2)]  # fmt: skip
    assert peak.held is not None
    assert (peak.held.sent, peak.held.seeds) == (300, 3)


def test_a_seed_that_is_unsure_is_followed_by_others_and_their_sum_decides() -> None:
    counts = {0: (85, 100), 1: (96, 100), 2: (95, 100)}
    peak = search_peak(
        lambda factor, seed: counts[seed] if factor == 1.0 else (0, 100), share=0.9, tolerance=2.0
    )
    assert peak.held == Trial(1.0, 276, 300, 3, holds=True)


def test_the_interval_is_wilsons() -> None:
    # Newcombe 1998, table I: 81 of 263.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(100, 100)[1] == 1.0
    assert wilson_interval(100, 100)[0] == pytest.approx(0.963, abs=5e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(30, 400), st.floats(0.05, 0.95))
def test_nineteen_of_twenty_intervals_hold_the_true_share(tried: int, share: float) -> None:
    hits = np.random.default_rng(1).binomial(tried, share, 2_000)
    held = [low <= share <= high for low, high in (wilson_interval(int(h), tried) for h in hits)]
    assert 0.90 < np.mean(held) < 0.99


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 1.0}, "--share must lie between 0 and 1, got 1"),
        ({"share": 0.9, "tolerance": 0.0}, "--tolerance must be positive"),
        ({"share": 0.9, "seeds": 0}, "--seeds must be at least 1"),
    ],
)
def test_a_search_for_nothing_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        search_peak(lambda factor, seed: (1, 1), **options)  # type: ignore[arg-type]


def test_late_and_refused_queries_are_not_within_the_bound(measurements: Measurements) -> None:
    within, sent = count_within(measurements)
    answered = int(measurements.answered.sum())
    # Latencies are 0.1 and 0.2 s in turn, the bound is 0.15 s.
    assert 0 < within < answered < sent == len(measurements)
    assert count_within(measurements, 1.0) == (answered, sent)
    assert count_within(measurements, 0.05) == (0, sent)
