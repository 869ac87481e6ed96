"""The largest load at which a stated share of the queries is answered within the bound.

This is the question of MLPerf's server scenario. The load is a factor on the demand: doubled or
halved until one factor holds and another fails, then bisected between the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

from cluster.errors import InputError
from serving.normal_errors import NORMAL_95
from serving.traffic.measurement import Measurements

__all__ = ["Peak", "Trial", "count_within", "search_peak", "wilson_interval"]

LEAST, MOST = 1 / 64, 64.0
"""factors beyond which the search gives up: the demand is of another order than the system"""


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of the queries at one load, over all seeds that were tried there."""

    factor: float
    within: int
    sent: int
    seeds: int
    holds: bool

    @property
    def share(self) -> float:
        """Share of what was sent that was answered within the bound; of nothing, all."""
        return self.within / self.sent if self.sent else 1.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of `share`, if queries were independent; under bursts it is wider."""
        return wilson_interval(self.within, self.sent)


@dataclass(frozen=True, slots=True)
class Peak:
    """What the search found."""

    held: Trial | None
    """at the largest factor that holds; None if none does"""
    failed: Trial | None
    """at the smallest factor above it that fails; None if the search gave up before one did"""
    trials: tuple[Trial, ...]
    """all, in the order in which they were made"""


def search_peak(
    measure: Callable[[float, int], tuple[int, int]],
    *,
    share: float,
    first: float = 1.0,
    tolerance: float = 0.05,
    seeds: int = 3,
    on_trial: Callable[[Trial], None] | None = None,
) -> Peak:
    """Search the largest factor at which at least `share` of the queries is within the bound.

    `measure(factor, n)` drives the demand times `factor` with the n-th seed and returns how many
    queries were within the bound and how many were sent. A factor holds if the share over all of
    `seeds` seeds is high enough. It fails as soon as the whole 95 % interval is below `share`,
    without the seeds that are left. The search stops when the smallest factor that fails is at
    most 1 + `tolerance` times the largest that holds.

    Raises `InputError` for a share, tolerance or number of seeds that makes no sense.
    """
    if not 0 < share < 1:
        raise InputError(f"--share must lie between 0 and 1, got {share:g}")
    if tolerance <= 0:
        raise InputError(f"--tolerance must be positive, got {tolerance:g}")
    if seeds < 1:
        raise InputError(f"--seeds must be at least 1, got {seeds}")
    trials: list[Trial] = []

    def attempt(factor: float) -> Trial:
        trial = _try(measure, factor, share, seeds)
        trials.append(trial)
        if on_trial is not None:
            on_trial(trial)
        return trial

    held, failed = _bracket(attempt, first)
    while held is not None and failed is not None and failed.factor > held.factor * (1 + tolerance):
        middle = attempt(sqrt(held.factor * failed.factor))
        held, failed = (middle, failed) if middle.holds else (held, middle)
    return Peak(held, failed, tuple(trials))


def _bracket(attempt: Callable[[float], Trial], first: float) -> tuple[Trial | None, Trial | None]:
    """A factor that holds, and twice of it that fails."""
    held = failed = None
    factor = first
    while LEAST <= factor <= MOST:
        trial = attempt(factor)
        held, failed = (trial, failed) if trial.holds else (held, trial)
        if held is not None and failed is not None:
            break
        factor = factor * 2 if trial.holds else factor / 2
    return held, failed


def _try(
    measure: Callable[[float, int], tuple[int, int]], factor: float, share: float, seeds: int
) -> Trial:
    within = sent = 0
    for seed in range(seeds):
        new_within, new_sent = measure(factor, seed)
        within, sent = within + new_within, sent + new_sent
        if wilson_interval(within, sent)[1] < share:
            return Trial(factor, within, sent, seed + 1, holds=False)
    trial = Trial(factor, within, sent, seeds, holds=True)
    return trial if trial.share >= share else Trial(factor, within, sent, seeds, holds=False)


def wilson_interval(hits: int, tried: int) -> tuple[float, float]:
    """95 % interval of the share that `hits` of `tried` independent tries estimate (Wilson)."""
    if not tried:
        return 0.0, 1.0
    squared = NORMAL_95**2
    middle = (hits + squared / 2) / (tried + squared)
    half = NORMAL_95 / (tried + squared) * sqrt(hits * (tried - hits) / tried + squared / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def count_within(measurements: Measurements, within_s: float | None = None) -> tuple[int, int]:
    """Queries answered within `within_s` seconds (the bound of their path, if None), and all."""
    if within_s is None:
        within = measurements.in_time
    else:
        within = measurements.answered & (measurements.latency_s <= within_s)
    return int(within.sum()), len(measurements)
