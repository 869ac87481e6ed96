"""What the next period's load will be, by past periods: only as far as that has proved itself.

Three contenders forecast the latest season period by period, each from what came before:

- seen: what the loop's estimate was when the period began, as without a forecast.
- season: as one season ago (seasonal-naive).
- smoothing: Holt-Winters' exponential smoothing with an additive season and no trend (statsmodels).
  Its parameters are fitted to what came before the latest season, so it has not seen what it is
  tried on.

The one with the smallest sum of absolute errors over all streams is used for the next period, in
doubt the one that is named first here. Axes: k = period, s = stream, which is a client and a task.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.extras import import_extra
from serving.replan.estimate.load_estimate import LoadEstimate
from serving.replan.estimate.load_history import LoadHistory, PastPeriod

__all__ = [
    "LatestForecast", "LoadForecast", "expected_estimate", "forecast_next", "import_smoothing",
]  # fmt: skip

FloatArray = NDArray[np.float64]
FITTED_SEASONS = 2
"""that smoothing needs before the one it is tried on"""


@dataclass(frozen=True, eq=False)
class LoadForecast:
    """The next period, by the contender that did best on the latest season."""

    method: str
    """seen, season or smoothing"""
    count_s: FloatArray
    error_ks: FloatArray
    """that it made: queries that came less those forecast, by period of the latest season"""
    absolute_error: dict[str, float]
    """of each contender: sum over the latest season and all streams, queries"""


def forecast_next(count_ks: FloatArray, seen_ks: FloatArray, season: int) -> LoadForecast | None:
    """The forecast of the period after those of `count_ks` (queries, k x s), which repeat after
    `season` periods; None before two seasons have passed.

    `seen_ks` is what the estimate at the begin of each of them and of the next one came to
    (queries, k + 1 x s).

    Raises `MissingExtraError` for want of statsmodels once there are three seasons, and
    `ValueError` for a season of less than two periods.
    """
    if season < 2:
        raise ValueError(f"expected a season of two periods or more, got {season}")
    periods = len(count_ks)
    if periods < 2 * season or not count_ks.shape[1]:
        return None
    tried = slice(periods - season, periods)
    # One-step forecasts of every period of the latest season, and of the next one.
    forecasts = {
        "seen": seen_ks[periods - season :],
        "season": count_ks[periods - 2 * season : periods - season + 1],
    }
    if periods >= (FITTED_SEASONS + 1) * season:
        forecasts["smoothing"] = np.stack(
            [_smoothed(series_k, season) for series_k in count_ks.T], axis=1
        )
    errors = {name: count_ks[tried] - each[:-1] for name, each in forecasts.items()}
    total = {name: float(np.abs(error_ks).sum()) for name, error_ks in errors.items()}
    best = min(total, key=total.__getitem__)
    return LoadForecast(best, np.maximum(forecasts[best][-1], 0.0), errors[best], total)


def import_smoothing() -> Any:
    """Statsmodels' `ExponentialSmoothing`. Raises `MissingExtraError` where it is not installed."""
    purpose = "a forecast by exponential smoothing"
    return import_extra("statsmodels.tsa.holtwinters", "forecast", purpose).ExponentialSmoothing


def _smoothed(series_k: FloatArray, season: int) -> FloatArray:
    """Holt-Winters' one-step forecasts of the latest season, and of the period after it."""
    smoothing = import_smoothing()
    past_k = series_k[:-season]
    level = float(past_k[:season].mean())
    start = {
        "seasonal": "add", "seasonal_periods": season, "initialization_method": "known",
        "initial_level": level, "initial_seasonal": past_k[:season] - level,
    }  # fmt: skip
    with warnings.catch_warnings():
        # Parameters that are not quite the best ones still forecast; how well is tried here.
        warnings.simplefilter("ignore")
        found = smoothing(past_k, **start).fit().params
        whole = smoothing(series_k, **start).fit(
            smoothing_level=found["smoothing_level"],
            smoothing_seasonal=found["smoothing_seasonal"],
            optimized=False,
        )
        return np.concatenate([whole.fittedvalues[-season:], whole.forecast(1)])


class LatestForecast:
    """The forecast of the period that has begun, of a load that repeats itself after `season`
    periods: made once a period, while the loop looks every second."""

    def __init__(self, season: int) -> None:
        self._season = season
        self._periods: Sequence[PastPeriod] | None = None
        self._found: LoadForecast | None = None

    def of(self, history: LoadHistory) -> LoadForecast | None:
        """`forecast_next` of a history, or of what follows it. Raises what that raises."""
        if history.periods is not self._periods:
            self._found = forecast_next(history.count_ks, history.seen_ks, self._season)
            self._periods = history.periods
        return self._found


def expected_estimate(
    seen: LoadEstimate | None, history: LoadHistory, found: LoadForecast | None
) -> LoadEstimate | None:
    """The load that is expected for the period that has begun, by what was `found` for it, with the
    errors that the forecast made over the latest season; what is `seen` while there is none that
    did better than that."""
    if seen is None or found is None:
        return seen
    tried = {"forecast": found.method, "forecast_errors": found.absolute_error}
    if found.method == "seen":
        return seen.model_copy(update=tried)
    rates = _by_client(history, found.count_s)
    mix_errors = _by_client(history, np.sqrt((found.error_ks**2).mean(axis=0)))
    errors: dict[str, float] = {}
    for client in rates:
        own = [place for place, (name, _) in enumerate(history.streams) if name == client]
        total_k = found.error_ks[:, own].sum(axis=1)
        errors[client] = float(np.sqrt((total_k**2).mean())) / history.period_s
    return seen.model_copy(
        update={
            **tried,
            "rates_qps": {**seen.rates_qps, **rates},
            "mix_errors_qps": {**seen.mix_errors_qps, **mix_errors},
            "volume_errors_qps": {**seen.volume_errors_qps, **errors},
            "stay_s": history.period_s,
            "former_qps": {},  # a larger load of before is in the forecast, or will not come back
        }
    )


def _by_client(history: LoadHistory, count_s: FloatArray) -> dict[str, dict[str, float]]:
    """Queries of a period as queries/s, client -> task."""
    found: dict[str, dict[str, float]] = {}
    for (client, task), count in zip(history.streams, count_s, strict=True):
        found.setdefault(client, {})[task] = float(count) / history.period_s
    return found
