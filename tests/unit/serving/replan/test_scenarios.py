"""The loads that plans are judged under."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.replan.scenarios import draw_loads, former_load, mean_load, moments_of
from support.replan_cases import estimate, problem

STATED = problem(0.0, 0.0)


@given(volume=st.floats(0.0, 1e4), dispersion=st.floats(1.0, 1e4), share=st.floats(0.0, 1.0))
@settings(max_examples=80, deadline=None)
def test_moments_keep_the_mean_whatever_the_dispersion(
    volume: float, dispersion: float, share: float
) -> None:
    seen = estimate(volume * share, volume * (1 - share), dispersion=dispersion)
    moments = moments_of(STATED, seen)
    assert moments.weight_s.sum() == pytest.approx(1.0)
    assert moments.weight_s @ moments.factor_sc[:, 0] == pytest.approx(1.0, abs=1e-6)
    assert (np.diff(moments.factor_sc[:, 0]) >= -1e-9).all()
    assert (moments.factor_sc >= 0).all()


def test_bursts_reach_further_than_poisson_arrivals() -> None:
    calm = moments_of(STATED, estimate(12.0, 8.0)).factor_sc[:, 0]
    bursty = moments_of(STATED, estimate(12.0, 8.0, dispersion=40.0)).factor_sc[:, 0]
    assert calm[-1] < 1.7
    assert bursty[-1] > 4.0
    assert bursty[0] < 0.2 < calm[0]


def test_a_client_that_was_never_seen_has_no_load() -> None:
    seen = estimate(3.0, 4.0).model_copy(update={"rates_qps": {}})
    assert mean_load(STATED, seen).tolist() == [[0.0, 0.0]]


def test_the_former_load_has_the_present_mix_at_the_volume_of_before() -> None:
    assert former_load(STATED, estimate(1.0, 4.0, former_qps=20.0)).tolist() == [[4.0, 16.0]]
    assert former_load(STATED, estimate(1.0, 4.0)).tolist() == [[1.0, 4.0]]


def test_draws_scatter_as_the_errors_say_and_are_the_same_for_a_seed() -> None:
    seen = estimate(12.0, 8.0, seconds=50.0, dispersion=9.0)
    draws = np.array(draw_loads(STATED, seen, 2_000, 1))
    again = np.array(draw_loads(STATED, seen, 2_000, 1))
    assert np.array_equal(draws, again)
    assert draws[:, 0, 0].mean() == pytest.approx(12.0, abs=0.2)
    assert draws[:, 0, 0].std() == pytest.approx(seen.error_qps("c", "depth"), rel=0.1)
    assert draws.min() >= 0
