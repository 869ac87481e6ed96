"""95 % intervals over seeds."""

from __future__ import annotations

import numpy as np
import pytest

from serving.experiments.intervals import mean_interval, ratio_interval


def test_the_interval_of_a_mean_is_about_two_standard_errors_to_each_side() -> None:
    values = np.random.default_rng(3).normal(0.7, 0.1, 100).tolist()
    found = mean_interval(values)
    error = float(np.std(values)) / 10
    assert found.value == pytest.approx(np.mean(values))
    assert found.high - found.value == pytest.approx(1.96 * error, rel=0.1)
    assert found.value - found.low == pytest.approx(1.96 * error, rel=0.1)


def test_what_pairs_have_in_common_does_not_widen_their_ratio() -> None:
    base = [0.2, 0.9, 0.4, 0.7]
    found = ratio_interval([1.05 * value for value in base], base)
    assert found == pytest.approx((1.05, 1.05, 1.05))
    assert mean_interval(base).high - mean_interval(base).low > 0.2


def test_a_ratio_that_differs_by_seed_is_uncertain() -> None:
    found = ratio_interval([1.0, 3.0], [1.0, 1.0])
    assert found == (2.0, 1.0, 3.0)


def test_one_seed_has_no_width_and_none_no_interval() -> None:
    assert mean_interval([0.5]) == (0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match="expected pairs, got 0 values"):
        mean_interval([])
    with pytest.raises(ValueError, match="2 values and 1 to compare"):
        ratio_interval([1.0, 2.0], [1.0])
