"""Rates that move as stated: the day, and a crowd that comes at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.arrivals import DiurnalArrivals, FlashCrowd
from serving.traffic.arrivals.diurnal import diurnal_factor
from serving.traffic.arrivals.flash_crowd import flash_crowd_factor


def test_a_sine_has_its_peak_and_its_low_where_they_are_stated() -> None:
    process = DiurnalArrivals(kind="diurnal", swing=0.8, period_s=40.0, peak_s=10.0)
    path = diurnal_factor(process, 80.0)
    peak, low, again = path.at(np.array([10.0, 30.0, 50.0]))
    assert peak == pytest.approx(1.8, abs=0.01)
    assert low == pytest.approx(0.2, abs=0.01)
    assert again == pytest.approx(1.8, abs=0.01)
    assert path.mean == pytest.approx(1.0)


def test_factors_hold_over_equal_parts_of_a_day_and_come_again() -> None:
    process = DiurnalArrivals(kind="diurnal", factors=(1.0, 2.0, 3.0), period_s=30.0)
    path = diurnal_factor(process, 45.0)
    assert path.at(np.array([5.0, 15.0, 25.0, 35.0, 44.9])) == pytest.approx(
        [0.5, 1.0, 1.5, 0.5, 1.0]
    )
    assert diurnal_factor(process, 60.0).mean == pytest.approx(1.0)


def test_a_day_is_as_long_as_the_phase_unless_stated() -> None:
    path = diurnal_factor(DiurnalArrivals(kind="diurnal", factors=(1.0, 3.0)), 10.0)
    assert path.at(np.array([4.9, 5.1])) == pytest.approx([0.5, 1.5])


def test_a_crowd_rises_holds_and_goes() -> None:
    crowd = FlashCrowd(kind="flash_crowd", at_s=20, rise_s=4, hold_s=10, fall_s=2, factor=3)
    path = flash_crowd_factor(crowd, 60.0)
    times_s = np.array([0.0, 19.9, 22.0, 24.1, 33.9, 35.0, 36.1, 59.0])
    assert path.at(times_s) == pytest.approx([1, 1, 2, 3, 3, 2, 1, 1], abs=0.05)
    assert path.total == pytest.approx(60 + 2 * (10 + 4 / 2 + 2 / 2))


@settings(max_examples=60, deadline=None)
@given(
    at_s=st.floats(0, 50),
    rise_s=st.floats(0, 20),
    hold_s=st.floats(0.1, 50),
    fall_s=st.none() | st.floats(0, 20),
    factor=st.floats(0.1, 9),
)
def test_a_crowd_never_leaves_the_band_between_one_and_its_factor(
    at_s: float, rise_s: float, hold_s: float, fall_s: float | None, factor: float
) -> None:
    crowd = FlashCrowd(
        kind="flash_crowd", at_s=at_s, rise_s=rise_s, hold_s=hold_s, fall_s=fall_s, factor=factor
    )
    path = flash_crowd_factor(crowd, 60.0)
    assert np.all(np.diff(path.starts_s_k) > 0)
    assert path.starts_s_k[0] == 0
    assert path.values_k.min() >= min(1.0, factor)
    assert path.values_k.max() <= max(1.0, factor)
    if at_s + rise_s < 60.0:
        assert path.at(np.array([at_s + rise_s])) == factor
