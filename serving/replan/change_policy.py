"""How the live loop changes plans: for which load, when, and by which decision.

    policy      the load that is planned for      when                      what is chosen
    reactive    the one that is seen              something has moved       what surely gains
    periodic    the one that is seen              every so many seconds     a new plan in any case
    forecast    that of the period that begins    both of the above         what surely gains

A policy is data and pure functions, so that the loop that runs beside the cluster and the one in
simulated time take the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from serving.replan.decision import decide, renew
from serving.replan.estimate.forecast import LatestForecast, expected_estimate, import_smoothing
from serving.replan.estimate.load_estimate import LoadEstimate
from serving.replan.estimate.load_history import LoadHistory
from serving.replan.need import Considered, why_decide
from serving.replan.planning import Planner

__all__ = [
    "REACTIVE", "ChangePolicy", "Seen", "forecast_policy", "periodic_policy",
]  # fmt: skip

NO_HISTORY = LoadHistory()
SEASONS_KEPT = 6
"""of past periods, for a forecast: parameters are fitted to five of them and tried on the last"""


@dataclass(frozen=True, eq=False)
class Seen:
    """What is known of the load at a look."""

    estimate: LoadEstimate | None
    """None while too little is known"""
    history: LoadHistory
    at_s: float
    """since the start of the loop"""


def as_seen(seen: Seen) -> LoadEstimate | None:
    """The load that is there now."""
    return seen.estimate


@dataclass(frozen=True, eq=False)
class ChangePolicy:
    """When the loop decides, about which load, and how."""

    name: str
    decide: Planner = decide
    """a function of a module, so that a planning process can import it by name"""
    foresee: Callable[[Seen], LoadEstimate | None] = as_seen
    """the load to plan for; None where there is nothing to go by yet"""
    every_s: float | None = None
    """decides at the first look of each such stretch of time, whatever is seen"""
    on_need: bool = True
    """decides when something has moved (`serving.replan.need`)"""
    history: LoadHistory = NO_HISTORY
    """the empty history that `foresee` wants to be filled"""

    def why(
        self,
        estimate: LoadEstimate,
        absent: tuple[str, ...],
        ratios: Mapping[str, float],
        considered: Considered | None,
        at_s: float,
        decided_s: float | None,
    ) -> str:
        """The reason to decide at `at_s`, in a few words; "" if there is none. `decided_s` is when
        the latest decision was made."""
        if self.every_s is not None and (
            decided_s is None or at_s // self.every_s > decided_s // self.every_s
        ):
            return f"another {self.every_s:g} s have begun"
        return why_decide(estimate, absent, ratios, considered) if self.on_need else ""


REACTIVE = ChangePolicy("reactive")


def periodic_policy(every_s: float) -> ChangePolicy:
    """A new plan for the mean load that was seen, every `every_s` seconds, whatever it gains."""
    return ChangePolicy("periodic", decide=renew, every_s=every_s, on_need=False)


def forecast_policy(period_s: float, season_periods: int) -> ChangePolicy:
    """Decides on the load that the period of `period_s` seconds that begins is expected to have.

    The load repeats itself after `season_periods` periods, where it does: the forecast is used only
    while it did better on the past than what is seen (`serving.replan.estimate.forecast`).
    Raises `MissingExtraError` for want of statsmodels.
    """
    import_smoothing()  # what is missing is said now, and not after three seasons

    latest = LatestForecast(season_periods)

    def foresee(seen: Seen) -> LoadEstimate | None:
        return expected_estimate(seen.estimate, seen.history, latest.of(seen.history))

    history = LoadHistory(period_s=period_s, kept=SEASONS_KEPT * season_periods)
    return ChangePolicy("forecast", foresee=foresee, every_s=period_s, history=history)
