"""Replay: recorded arrivals at the rate of the phase, thinned, doubled, or squeezed in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.arrivals import ReplayArrivals
from serving.traffic.arrivals.replay import replay
from serving.traffic.arrivals.step_path import StepPath, constant

SECONDS = np.arange(600)
# A burst of a minute in every five: 4 or 40 a second, 6,720 in all.
COUNTS = np.where(SECONDS % 300 < 60, 40, 4)


@pytest.fixture(scope="module")
def counts_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "counts.csv"
    rows = [f"{second},{count}" for second, count in zip(SECONDS, COUNTS, strict=True)]
    path.write_text("\n".join(["second,requests", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def times_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten a second for a minute, at equal distances, then two a second for a minute."""
    path = tmp_path_factory.mktemp("trace") / "times.csv"
    times_s = np.concatenate([np.arange(600) / 10, 60 + np.arange(120) / 2])
    path.write_text("\n".join(["t_s", *(f"{at_s:.4f}" for at_s in times_s)]) + "\n")
    return path


def process(file: Path, **more: Any) -> ReplayArrivals:
    return ReplayArrivals.model_validate({"kind": "replay", "file": str(file), **more})


def arrivals(of: ReplayArrivals, rate: StepPath, seed: int = 1) -> np.ndarray[Any, Any]:
    return replay(of, np.random.default_rng(seed), rate).times_s_n


def test_thinned_counts_keep_their_shape_and_reach_the_rate(counts_file: Path) -> None:
    times_s = arrivals(process(counts_file), constant(5.6, 600.0))
    # Half of 11.2 a second: 3,360 with a deviation of 41.
    assert len(times_s) == pytest.approx(3_360, abs=4 * 41)
    in_bursts = np.sum(times_s % 300 < 60) / len(times_s)
    assert in_bursts == pytest.approx(4_800 / 6_720, abs=0.04)
    assert np.all(np.diff(times_s) >= 0)


def test_doubled_arrivals_reach_the_rate_and_are_no_twins(counts_file: Path) -> None:
    times_s = arrivals(process(counts_file), constant(28.0, 600.0))
    assert len(times_s) == pytest.approx(16_800, abs=4 * 41)
    assert np.all(np.diff(times_s) > 0)
    assert np.sum(times_s % 300 < 60) / len(times_s) == pytest.approx(4_800 / 6_720, abs=0.03)


def test_recorded_times_are_kept_exactly_at_their_own_rate(times_file: Path) -> None:
    times_s = arrivals(process(times_file), constant(10.0, 50.0))
    assert times_s == pytest.approx(np.arange(500) / 10)


def test_thinning_leaves_out_arrivals_and_moves_none(times_file: Path) -> None:
    times_s = arrivals(process(times_file), constant(3.0, 100.0))
    assert set(np.round(times_s, 4)) <= {
        *np.round(np.arange(600) / 10, 4),
        *(60 + np.arange(80) / 2),
    }


def test_in_time_the_first_arrivals_fill_the_phase_and_all_are_sent(times_file: Path) -> None:
    times_s = arrivals(process(times_file, scale="time"), constant(60.0, 10.0))
    assert times_s == pytest.approx(np.arange(600) / 60)
    # 660 arrivals take a minute at ten a second and half a minute at two.
    times_s = arrivals(process(times_file, scale="time"), constant(66.0, 10.0))
    assert len(times_s) == 660
    assert np.sum(times_s < 10.0 * 60 / 90) == 600


def test_a_day_can_be_squeezed_and_then_thinned(counts_file: Path) -> None:
    times_s = arrivals(process(counts_file, speed=10.0), constant(56.0, 60.0))
    assert len(times_s) == pytest.approx(3_360, abs=4 * 41)
    assert np.sum(times_s % 30 < 6) / len(times_s) == pytest.approx(4_800 / 6_720, abs=0.04)


def test_a_rate_that_moves_moves_what_is_kept_of_the_trace(times_file: Path) -> None:
    rate = StepPath(np.array([0.0, 20.0]), np.array([2.0, 8.0]), 40.0)
    times_s = arrivals(process(times_file), rate)
    assert np.sum(times_s < 20) == pytest.approx(40, abs=25)
    assert np.sum(times_s >= 20) == pytest.approx(160, abs=25)


def test_it_begins_where_it_is_told_or_where_the_seed_says(times_file: Path) -> None:
    late = arrivals(process(times_file, start_s=60), constant(2.0, 30.0))
    assert late == pytest.approx(np.arange(60) / 2)
    found = {
        float(arrivals(process(times_file, start_s="random"), constant(0.5, 20.0), seed)[0])
        for seed in range(8)
    }
    assert len(found) == 8


@pytest.mark.parametrize("scale", ["thin", "time"])
def test_a_trace_that_is_too_short_is_refused_unless_it_repeats(
    times_file: Path, scale: str
) -> None:
    rate = constant(6.0, 240.0)
    with pytest.raises(ValueError, match=r"times\.csv: .*say `repeat: true`"):
        arrivals(process(times_file, scale=scale), rate)
    times_s = arrivals(process(times_file, scale=scale, repeat=True), rate)
    assert len(times_s) == pytest.approx(1_440, abs=0 if scale == "time" else 60)
    first, second = np.sum(times_s < 60), np.sum((times_s >= 120) & (times_s < 180))
    assert first == pytest.approx(second, rel=0.1)
    assert first > 400


def test_a_part_without_arrivals_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("second,requests\n0,1\n9,1\n")
    with pytest.raises(ValueError, match="nothing arrives from 2 s to 5 s; set `start_s`"):
        arrivals(process(path, start_s=2), constant(1.0, 3.0))
    path.write_text("t_s\n1\n1\n1\n")
    with pytest.raises(ValueError, match="every arrival has the same time"):
        arrivals(process(path, scale="time"), constant(1.0, 1.0))


def test_how_it_was_scaled_is_said(counts_file: Path) -> None:
    generator = np.random.default_rng(1)
    thinned = replay(process(counts_file), generator, constant(5.6, 600.0))
    assert thinned.how.endswith("from 0 s, 1 times as fast, 0.5 of the recorded arrivals")
    squeezed = replay(process(counts_file, scale="time"), generator, constant(56.0, 100.0))
    assert "in time: 3.56 recorded seconds a second" in squeezed.how


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rate_qps=st.floats(0, 60),
    duration_s=st.floats(1, 90),
    scale=st.sampled_from(["thin", "time"]),
    start=st.sampled_from(["random", 0.0, 17.3, 119.0]),
)
def test_arrivals_rise_and_lie_within_the_phase_whatever_is_asked(
    times_file: Path,
    seed: int,
    rate_qps: float,
    duration_s: float,
    scale: str,
    start: str | float,
) -> None:
    of = process(times_file, scale=scale, start_s=start, repeat=True)
    times_s = arrivals(of, constant(rate_qps, duration_s), seed)
    assert np.all(np.diff(times_s) >= 0)
    assert np.all((times_s >= 0) & (times_s < duration_s))
    assert np.array_equal(times_s, arrivals(of, constant(rate_qps, duration_s), seed))
