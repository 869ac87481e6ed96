"""What is said of a line through medians: intervals, the worst size, a bend that is no noise."""

from __future__ import annotations

import numpy as np
import pytest

from profiling.batch_latency import BatchLatency
from profiling.fit import fit_affine
from profiling.fit_quality import FitQuality, quality_of
from support.measured_models import measured_batch

SIZES = (1, 2, 4, 8, 16)


def quality(latency_s: list[float], half: float = 0.001) -> FitQuality:
    sizes = SIZES[: len(latency_s)]
    fit = fit_affine(sizes, latency_s)
    latency: list[BatchLatency] = [
        measured_batch(size, spent_s, half=half)
        for size, spent_s in zip(sizes, latency_s, strict=True)
    ]
    return quality_of(latency, fit.setup_s, fit.marginal_s)


def test_a_line_is_known_exactly() -> None:
    found = quality([0.005 + 0.002 * size for size in SIZES])
    assert found.setup_low_s == pytest.approx(0.005, abs=1e-6)
    assert found.setup_high_s == pytest.approx(0.005, abs=1e-6)
    assert found.marginal_high_s == pytest.approx(0.002, abs=1e-6)
    assert found.r2 == pytest.approx(1.0)
    assert not found.bends


def test_a_law_that_bends_is_flagged_with_its_worst_size() -> None:
    stairs_s = [0.010, 0.010, 0.010, 0.020, 0.040]
    found = quality(stairs_s)
    fit = fit_affine(SIZES, stairs_s)
    line_s = [fit.setup_s + fit.marginal_s * size for size in SIZES]
    off = [abs(on / spent_s - 1) for on, spent_s in zip(line_s, stairs_s, strict=True)]
    assert found.bends
    assert found.worst == pytest.approx(max(off))
    assert found.worst_batch == SIZES[int(np.argmax(off))]
    assert found.r2 < 1.0


def test_noise_is_no_bend() -> None:
    """Medians that are 8 % off the line, and known to a tenth only."""
    shaken_s = [(0.005 + 0.002 * size) * (1.08 if size == 4 else 1.0) for size in SIZES]
    assert not quality(shaken_s, half=0.1).bends
    assert quality(shaken_s, half=0.001).bends


def test_intervals_hold_nu_and_c_of_a_noisy_line_in_nineteen_of_twenty_cases() -> None:
    random, inside, tries = np.random.default_rng(0), 0, 400
    for _ in range(tries):
        noise = 1 + 0.02 * random.standard_normal(len(SIZES))
        found = quality([(0.005 + 0.002 * s) * n for s, n in zip(SIZES, noise, strict=True)])
        assert found.marginal_low_s is not None
        assert found.marginal_high_s is not None
        inside += found.marginal_low_s <= 0.002 <= found.marginal_high_s
    assert 0.92 <= inside / tries <= 0.98


def test_two_sizes_say_nothing_of_their_error() -> None:
    found = quality([0.007, 0.009])
    assert found.setup_low_s is found.setup_high_s is found.marginal_low_s is None
    assert found.r2 == pytest.approx(1.0)


def test_flat_latency_has_no_variance_to_explain() -> None:
    assert quality([0.01] * 5).r2 == 0.0


def test_a_slower_device_has_wider_intervals_and_the_same_shape() -> None:
    found = quality([0.010, 0.010, 0.012, 0.020, 0.040])
    slow = found.scaled(3.0)
    assert slow.marginal_high_s == pytest.approx(3.0 * (found.marginal_high_s or 0.0))
    assert (slow.worst, slow.r2, slow.bends) == (found.worst, found.r2, found.bends)
