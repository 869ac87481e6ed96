"""Batches timed until their medians are known well enough, or the time for them is spent.

Each size has runs of its own: their median, and its 95 % interval from order statistics, which
asks nothing of how times are distributed. Of n runs in order the k-th from either end bounds the
median with probability 1 - 2 P(Bin(n, 1/2) < k); fewer than six runs bound it at no k. A size is
run until the interval is narrow enough. To look after every run makes the interval a little less
sure than it says.

Example: six runs of 10.1 to 10.9 ms. The interval is [10.1, 10.9], 8 % of a median of 10.5: with
`width` 0.1 the size is settled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb

import numpy as np

from profiling.batch_latency import PAUSE_S, MeasuredBatch

__all__ = ["Sampled", "SamplingRule", "affordable", "median_interval", "sample_sizes"]

Timed = Callable[[int], float]
"""runs a batch of so many pictures and returns the seconds that it took"""

SURE = 0.95
FEWEST_RUNS = 6
"""of which the shortest and the longest bound the median with 97 %"""
FEWEST_SIZES = 4
STRAIGHT_EVERY = 2
"""of so many rounds one has a batch straight after another one as well"""
STRAIGHT_BELOW_S = 0.1
"""what takes longer is hardly quicker straight after another batch"""
SHARE_OF_A_SIZE = 0.25


@dataclass(frozen=True)
class SamplingRule:
    """How well medians are to be known, and how long that may take."""

    width: float = 0.1
    """of the 95 % interval of a median, as a share of the median"""
    budget_s: float = 2.5
    """for all sizes of one model together, pauses included"""
    most_runs: int = 60

    @property
    def size_budget_s(self) -> float:
        """For one size: a noisy one must not take the time of the others."""
        return SHARE_OF_A_SIZE * self.budget_s


@dataclass(frozen=True)
class Sampled:
    """What was measured, by rising size, and the sizes that would have taken too long."""

    latency: tuple[MeasuredBatch, ...]
    left_out: tuple[int, ...]


@dataclass
class _Runs:
    """Of one size so far."""

    first_s: float
    estimate_s: float = 0.0
    paused_s: list[float] = field(default_factory=list)
    straight_s: list[float] = field(default_factory=list)
    spent_s: float = 0.0
    """pauses included"""

    def settled(self, rule: SamplingRule) -> bool:
        interval = median_interval(self.paused_s)
        if interval is None:
            return False
        return interval[1] - interval[0] <= rule.width * float(np.median(self.paused_s))

    def wants_more(self, rule: SamplingRule, left_s: float) -> bool:
        """Fewer runs than bound a median are never enough."""
        if len(self.paused_s) < FEWEST_RUNS:
            return True
        spent = self.spent_s >= rule.size_budget_s or left_s <= 0
        return not (spent or len(self.paused_s) >= rule.most_runs or self.settled(rule))


def median_interval(values_s: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of the median of which `values_s` are a sample; None of fewer than six."""
    runs, rank = len(values_s), 0
    below = 1 / 2**runs
    while 2 * below <= 1 - SURE:
        rank += 1
        below += comb(runs, rank) / 2**runs
    if rank == 0:
        return None
    ordered = sorted(values_s)
    return ordered[rank - 1], ordered[runs - rank]


def affordable(estimate_s: Mapping[int, float], rule: SamplingRule) -> tuple[int, ...]:
    """Of the sizes in `estimate_s` (seconds of a batch) those for which the fewest runs fit into
    the budget. First go those between powers of two, then powers of two, the smallest and the
    largest last; `FEWEST_SIZES` stay whatever they take."""
    kept = sorted(estimate_s)

    def cost_s() -> float:
        return sum(
            FEWEST_RUNS * (PAUSE_S + each_s)
            + (FEWEST_RUNS / STRAIGHT_EVERY * each_s if each_s < STRAIGHT_BELOW_S else 0.0)
            for each_s in (estimate_s[size] for size in kept)
        )

    while cost_s() > rule.budget_s and len(kept) > FEWEST_SIZES:
        between = [size for size in kept[:-1] if size & (size - 1)]
        kept.remove(between[-1] if between else kept[-2])
    return tuple(kept)


def sample_sizes(
    timed: Timed,
    sizes: Sequence[int],
    rule: SamplingRule,
    *,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.perf_counter,
) -> Sampled:
    """Latency of batches of `sizes`, which rise, each run until `rule` has enough.

    Served batches mostly come after a pause, in which processors slow down and lose their caches.
    So each run is timed after `PAUSE_S`, and every second one is followed by another straight after
    it: that is what batches take on a device that is never idle.

    The first run of each size stands apart. By the second, sizes that would take too long are left
    out; one of which a single median would take the whole budget is not run at all, unless it is
    among the first two. Sizes take turns, so that a slow spell of the machine meets all alike.
    """
    runs: dict[int, _Runs] = {}
    for size in sizes:
        if len(runs) >= 2:
            last = max(runs)
            if FEWEST_RUNS * runs[last].first_s * size / last > rule.budget_s:
                break
        runs[size] = _Runs(first_s=timed(size))
    for size, each in runs.items():
        each.estimate_s = timed(size)
    chosen = affordable({size: each.estimate_s for size, each in runs.items()}, rule)
    begun_s = clock()
    for round_ in range(rule.most_runs):
        left_s = rule.budget_s - (clock() - begun_s)
        wanting = [size for size in chosen if runs[size].wants_more(rule, left_s)]
        if not wanting:
            break
        for size in wanting:
            _run_once(timed, size, runs[size], round_ % STRAIGHT_EVERY == 0, pause, clock)
    latency = tuple(_measured(size, runs[size], rule) for size in chosen)
    return Sampled(latency, tuple(size for size in sizes if size not in chosen))


def _run_once(
    timed: Timed,
    size: int,
    runs: _Runs,
    straight: bool,
    pause: Callable[[float], None],
    clock: Callable[[], float],
) -> None:
    started_s = clock()
    pause(PAUSE_S)
    runs.paused_s.append(timed(size))
    if straight and runs.estimate_s < STRAIGHT_BELOW_S:
        runs.straight_s.append(timed(size))
    runs.spent_s += clock() - started_s


def _measured(size: int, runs: _Runs, rule: SamplingRule) -> MeasuredBatch:
    low_s, high_s = median_interval(runs.paused_s) or (None, None)
    p50_s, p95_s, p99_s = (float(np.percentile(runs.paused_s, q)) for q in (50, 95, 99))
    return MeasuredBatch(
        batch=size,
        p50_s=p50_s,
        p95_s=p95_s,
        p99_s=p99_s,
        runs=len(runs.paused_s),
        straight_p50_s=float(np.median(runs.straight_s)) if runs.straight_s else None,
        low_s=low_s,
        high_s=high_s,
        first_s=runs.first_s,
        settled=runs.settled(rule),
    )
