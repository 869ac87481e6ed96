"""How much room bursts need that last for longer than a window (F17).

A plan that holds 95 windows in a hundred is late with far more than the rest of the answers where
the rate stays high: what one window leaves undone makes the next ones late. So plans count on more
than the dispersion of one window. Axes: k = window.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cluster.arrival_dispersion import count_dispersion, replay_pace
from cluster.arrivals import Arrivals, ReplayArrivals
from cluster.recorded_trace import RecordedTrace

__all__ = ["COUNTED_WINDOWS", "late_share", "planned_dispersion", "trace_headroom"]

COUNTED_WINDOWS = 2
"""T_b whose counts are taken together for the dispersion that is planned for. An answer is late if
its window and the one after it were not enough; room for one Poisson window that overruns with
probability .05 holds two with .01, since their deviation is √2 times that of one"""
LATE_SHARE = 0.005
"""of a recorded trace's own arrivals; so few because parts of it are burstier than the whole"""
OVERRUN_95 = 1.645
"""deviations that F11 leaves room for at δ = .05"""
MOST_WINDOWS = 500_000
STEPS = 40


def planned_dispersion(process: Arrivals, rate_qps: float, window_s: float) -> float:
    """The dispersion I that plans are to leave room for (F17), of `rate_qps` queries a second.

    That of counts in `COUNTED_WINDOWS` windows. Of a recorded trace at least that for which F11's
    room at δ = .05, 1.645 √((I − 1) / N) of the mean N of a window, keeps all but `LATE_SHARE` of
    the trace on time.
    """
    together = count_dispersion(process, rate_qps, COUNTED_WINDOWS * window_s)
    if not isinstance(process, ReplayArrivals) or rate_qps <= 0 or window_s <= 0:
        return together
    speed, copies = replay_pace(process, rate_qps)
    headroom = trace_headroom(process.trace, window_s * speed)
    # Arrivals that are left out at random are Poisson's again as far as they are few: F11's own.
    excess = rate_qps * window_s * (headroom / OVERRUN_95) ** 2 - min(copies, 1.0)
    return max(together, 1.0 + max(0.0, excess))


def trace_headroom(trace: RecordedTrace, window_s: float) -> float:
    """How much more than the mean a server must do in a window of `window_s` recorded seconds, as
    a part of the mean, for `LATE_SHARE` of a trace that is all its own.

    Between recorded times, and within a period, arrivals flow evenly.
    """
    count_k = _counts(trace, window_s)
    mean = float(count_k.mean()) if len(count_k) else 0.0
    if mean <= 0:
        return 0.0
    low, high = 0.0, float(count_k.max()) / mean
    for _ in range(STEPS):
        middle = (low + high) / 2
        if late_share(count_k, mean * (1 + middle)) > LATE_SHARE:
            low = middle
        else:
            high = middle
    return high


def late_share(count_k: NDArray[np.float64], capacity: float) -> float:
    """Share of queries that a server does not get done in the window after the one in which they
    come, at `capacity` queries a window: those that a window has too many, with what others left.
    """
    passed_k = np.cumsum(count_k - capacity)
    left_k = passed_k - np.minimum(np.minimum.accumulate(passed_k), 0.0)
    return float(np.minimum(left_k, count_k).sum() / count_k.sum())


def _counts(trace: RecordedTrace, window_s: float) -> NDArray[np.float64]:
    if trace.times_s_n is not None:
        at_s: NDArray[np.float64] = trace.times_s_n
        number = np.arange(len(at_s), dtype=np.float64)
    else:
        assert trace.counts_k is not None
        at_s = np.linspace(0.0, trace.duration_s, len(trace.counts_k) + 1)
        number = np.append(0.0, np.cumsum(trace.counts_k))
    windows = min(int(trace.duration_s / window_s), MOST_WINDOWS)
    ends_s = window_s * np.arange(windows + 1)
    return np.diff(np.interp(ends_s, at_s, number))
