"""Paths of steps: integrals, and the change of time that they define."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.traffic.arrivals.step_path import StepPath, constant, product, steps_of, total_of

values = st.floats(0, 50, allow_subnormal=False)


@st.composite
def paths(draw: st.DrawFn) -> StepPath:
    lengths_s = draw(st.lists(st.floats(0.01, 20), min_size=1, max_size=6))
    starts_s = np.concatenate([[0.0], np.cumsum(lengths_s[:-1])])
    values_k = draw(st.lists(values, min_size=len(lengths_s), max_size=len(lengths_s)))
    return StepPath(starts_s, np.array(values_k), float(sum(lengths_s)))


@settings(max_examples=100, deadline=None)
@given(paths(), st.lists(st.floats(0, 1, exclude_max=True), max_size=20))
def test_times_are_where_the_integral_has_grown_so_far(path: StepPath, shares: list[float]) -> None:
    passed = np.sort(np.array(shares)) * path.total
    if path.total < 1e-6:
        return
    times_s = path.times_s(passed[passed < path.total])
    assert np.all((times_s >= 0) & (times_s < path.duration_s))
    assert np.all(np.diff(times_s) >= -1e-9)
    assert np.all(path.at(times_s) >= 0)
    for at_s, wanted in zip(times_s, passed, strict=False):
        ends_s = np.append(path.starts_s_k[1:], path.duration_s)
        grown = np.clip(at_s - path.starts_s_k, 0, ends_s - path.starts_s_k) @ path.values_k
        assert grown == pytest.approx(wanted, abs=1e-6 * max(1.0, path.total))


def test_a_rate_next_to_nothing_puts_no_arrival_beyond_its_step() -> None:
    path = StepPath(np.array([0.0, 10.0, 20.0]), np.array([50.0, 1e-14, 50.0]), 30.0)
    passed = np.asarray(
        500.0 + np.arange(4) * 2.0**-43, dtype=np.float64
    )  # neighbours of 500 among the numbers there are
    assert np.all(np.diff(path.times_s(passed)) >= 0)


def test_nothing_arrives_while_the_rate_is_zero() -> None:
    path = StepPath(np.array([0.0, 2.0, 4.0]), np.array([5.0, 0.0, 5.0]), 6.0)
    times_s = path.times_s(np.linspace(0.0, 19.9, 200))
    assert not np.any((times_s > 2.0) & (times_s < 4.0))
    assert path.times_s(np.array([10.0])) == [4.0]


@settings(max_examples=50, deadline=None)
@given(paths(), values)
def test_a_product_and_a_sum_are_taken_at_every_time(path: StepPath, value: float) -> None:
    other = StepPath(np.array([0.0, path.duration_s / 3]), np.array([value, 2.0]), path.duration_s)
    times_s = np.linspace(0.0, path.duration_s, 50, endpoint=False)
    assert product([path, other]).at(times_s) == pytest.approx(path.at(times_s) * other.at(times_s))
    assert total_of([path, other]).at(times_s) == pytest.approx(
        path.at(times_s) + other.at(times_s)
    )
    assert total_of([path, other]).total == pytest.approx(path.total + other.total)


def test_a_straight_line_keeps_its_integral_when_it_is_cut_into_steps() -> None:
    path = steps_of(lambda times_s: 2.0 + 3.0 * times_s, 10.0)
    assert path.total == pytest.approx(2.0 * 10 + 3.0 * 50)
    assert constant(4.0, 10.0).mean == 4.0
