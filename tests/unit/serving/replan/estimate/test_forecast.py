"""The forecast of the next period: by the contender that did best on the latest season."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from serving.replan.estimate import forecast
from serving.replan.estimate.arrival_counts import NewQueries
from serving.replan.estimate.forecast import (
    LatestForecast,
    LoadForecast,
    expected_estimate,
    forecast_next,
)
from serving.replan.estimate.load_estimate import LoadEstimate
from serving.replan.estimate.load_history import LoadHistory
from support.replan_cases import estimate

SEASON = 8
WAVE_K = 100 + 80 * np.sin(2 * np.pi * np.arange(5 * SEASON + 1) / SEASON)


def poisson(mean_k: NDArray[np.float64], streams: int = 6) -> NDArray[np.float64]:
    """Counts (k x s) of independent streams with these means."""
    drawn = np.random.default_rng(0).poisson(mean_k[:, None], (len(mean_k), streams))
    return drawn.astype(float)


def seen_before(count_ks: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a loop sees that remembers one period (k + 1 x s)."""
    return np.concatenate([count_ks[:1], count_ks])


def test_nothing_is_forecast_before_two_seasons() -> None:
    short_ks = poisson(WAVE_K[: 2 * SEASON - 1])
    assert forecast_next(short_ks, seen_before(short_ks), SEASON) is None


def test_a_season_needs_two_periods() -> None:
    with pytest.raises(ValueError, match="two periods or more, got 1"):
        forecast_next(np.ones((9, 1)), np.ones((10, 1)), 1)


def test_a_season_that_repeats_itself_is_forecast_by_the_one_before() -> None:
    count_ks = np.tile(np.arange(SEASON, dtype=float), 4)[:, None]
    found = forecast_next(count_ks, seen_before(count_ks), SEASON)
    assert found is not None
    assert found.method == "season"
    assert found.count_s.tolist() == [0.0]
    assert found.absolute_error["season"] == 0.0
    assert found.absolute_error["seen"] == (SEASON - 1) + (SEASON - 1)


def test_smoothing_is_used_where_it_beats_the_naive_forecast() -> None:
    """It averages over seasons what the naive forecast takes from a single one."""
    count_ks = poisson(WAVE_K[:-1])
    found = forecast_next(count_ks, seen_before(count_ks), SEASON)
    assert found is not None
    assert found.method == "smoothing"
    assert found.absolute_error["smoothing"] < found.absolute_error["season"]
    assert found.count_s.mean() == pytest.approx(WAVE_K[-1], rel=0.1)
    error_ks = found.error_ks
    assert np.abs(error_ks).sum() == pytest.approx(found.absolute_error["smoothing"])


def test_smoothing_is_left_where_the_naive_forecast_beats_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    count_ks = poisson(WAVE_K[:-1])
    monkeypatch.setattr(forecast, "_smoothed", lambda *_: np.full(SEASON + 1, 1e6))
    found = forecast_next(count_ks, seen_before(count_ks), SEASON)
    assert found is not None
    assert found.method == "season"
    assert found.count_s.tolist() == count_ks[-SEASON].tolist()


def test_smoothing_is_not_fitted_to_what_it_is_tried_on() -> None:
    """With another latest season the forecast of its first period stays as it was."""
    count_ks = poisson(WAVE_K[:-1])
    other_ks = count_ks.copy()
    other_ks[-SEASON:] = 7.0
    first = [forecast._smoothed(each[:, 0], SEASON)[0] for each in (count_ks, other_ks)]
    assert first[0] == pytest.approx(first[1])


def test_two_seasons_are_forecast_without_smoothing() -> None:
    count_ks = poisson(WAVE_K[: 2 * SEASON])
    found = forecast_next(count_ks, seen_before(count_ks), SEASON)
    assert found is not None
    assert set(found.absolute_error) == {"seen", "season"}


def test_a_load_without_a_season_stays_as_it_is_seen() -> None:
    """A loop that knows the mean is not led astray by the scatter of a season ago."""
    count_ks = poisson(np.full(2 * SEASON, 50.0))
    seen_ks = np.full((2 * SEASON + 1, count_ks.shape[1]), 50.0)
    found = forecast_next(count_ks, seen_ks, SEASON)
    assert found is not None
    assert found.method == "seen"


def counted(*depth: int) -> LoadHistory:
    """Periods of 10 s with so many queries for depth, and 10 for edges."""
    history = LoadHistory(period_s=10.0, kept=99)
    for number, count in enumerate(depth, start=1):
        new = {"c": NewQueries(10.0, {"depth": count, "edges": 10})}
        history = history.after(new, estimate(5.0, 1.0), 10.0 * number)
    return history


def test_an_expected_load_has_the_errors_that_its_forecasts_made() -> None:
    history = counted(20, 80, 30, 90)
    latest = LatestForecast(2).of(history)
    found = expected_estimate(estimate(5.0, 1.0, former_qps=20.0), history, latest)
    assert found is not None
    assert found.rates_qps["c"] == {"depth": 3.0, "edges": 1.0}  # as one season ago
    assert found.mix_errors_qps["c"] == {"depth": 1.0, "edges": 0.0}  # 10 queries in 10 s
    assert found.volume_errors_qps["c"] == 1.0
    assert found.former_qps == {}


def test_what_is_seen_is_expected_while_no_forecast_did_better() -> None:
    def expected(seen: LoadEstimate | None, history: LoadHistory) -> LoadEstimate | None:
        return expected_estimate(seen, history, LatestForecast(2).of(history))

    seen = estimate(5.0, 1.0)
    tried = expected(seen, counted(50, 50, 50, 50))
    assert tried is not None
    assert (tried.forecast, tried.forecast_errors) == ("seen", {"seen": 0.0, "season": 0.0})
    assert tried.rates_qps == seen.rates_qps
    assert tried.stay_s == seen.stay_s
    assert expected(seen, counted(20, 80)) is seen
    assert expected(None, counted(20, 80, 20, 80)) is None


def test_a_period_is_forecast_once_however_often_the_loop_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []

    def counting(count_ks: NDArray[np.float64], *rest: Any) -> LoadForecast | None:
        made.append(len(count_ks))
        return forecast_next(count_ks, *rest)

    monkeypatch.setattr(forecast, "forecast_next", counting)
    latest, history = LatestForecast(2), counted(20, 80, 30, 90)
    new = {"c": NewQueries(1.0, {"depth": 3, "edges": 1})}
    for at_s in (41.0, 42.0, 49.0, 50.0, 51.0):
        history = history.after(new, estimate(5.0, 1.0), at_s)
        latest.of(history)
    assert made == [4, 5]
