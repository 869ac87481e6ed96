"""How bursty stated arrivals are: variance ÷ mean of their counts in a window (F17).

Plans leave room by it. Where a process says nothing of bursts (Poisson arrivals, a load that
follows the hour, callers who wait), it is 1. Axes: s = state, n = recorded arrival, k = period.
"""

from __future__ import annotations

from functools import singledispatch

import numpy as np
from numpy.typing import NDArray

from cluster.arrivals import Arrivals, GammaArrivals, MmppArrivals, ReplayArrivals
from cluster.recorded_trace import RecordedTrace

__all__ = ["count_dispersion", "replay_pace"]

NODES = 48
"""of a Gauss-Legendre rule"""
FAR = 6.0
"""deviations of a sum of gaps, beyond which none is looked for"""
MOST_GAPS = 5_000
"""in a window; more are taken to be as many as tell cv², the limit of long windows"""
STARTS_A_WINDOW, MOST_STARTS = 4, 200_000
"""windows of a trace overlap, because a load that moves in step with them would deceive"""


def count_dispersion(process: Arrivals, rate_qps: float, window_s: float) -> float:
    """Variance ÷ mean of how many of `rate_qps` queries a second arrive in `window_s` seconds."""
    if rate_qps <= 0 or window_s <= 0:
        return 1.0
    return float(_dispersion(process, rate_qps, window_s))


@singledispatch
def _dispersion(process: object, rate_qps: float, window_s: float) -> float:
    return 1.0


@_dispersion.register
def _of_mmpp(process: MmppArrivals, rate_qps: float, window_s: float) -> float:
    """1 + 2 λ / t ∫₀ᵗ (t − u) R(u) du, R the autocovariance of the rate's factor (of mean 1).

    With generator Q, stationary π and factors f, R(u) = π diag(f) e^{Qu} f − 1. The integral of
    (t − u) e^{Qu} is the upper right block of exp(t [[Q, I, 0], [0, 0, I], [0, 0, 0]]).
    """
    from scipy.linalg import expm

    dwell_s = np.array([state.dwell_s for state in process.states])
    factor_s = np.array([state.factor for state in process.states]) / process.mean_factor
    share_s = dwell_s / dwell_s.sum()
    states = len(dwell_s)
    leave_s = 1.0 / dwell_s
    generator = np.repeat(leave_s[:, None] / (states - 1), states, axis=1)
    np.fill_diagonal(generator, -leave_s)
    nothing, one = np.zeros((states, states)), np.eye(states)
    blocks = np.block([[generator, one, nothing], [nothing, nothing, one], [nothing] * 3])
    twice = expm(window_s * blocks)[:states, 2 * states :]
    covered = (share_s * factor_s) @ twice @ factor_s - window_s**2 / 2
    return 1.0 + 2.0 * rate_qps / window_s * max(float(covered), 0.0)


@_dispersion.register
def _of_gamma(process: GammaArrivals, rate_qps: float, window_s: float) -> float:
    """Of an equilibrium renewal process: Var N(t) = λ ∫₀ᵗ (1 + 2 H(u)) du − (λ t)².

    H(u) is how many arrivals follow one within u: the sum over n of the probability that n gaps,
    which are gamma distributed with n times the shape, are shorter.
    """
    from scipy.special import gammainc

    shape, mean = process.gap_shape, rate_qps * window_s
    reach = FAR * FAR / shape + mean
    most = int(reach + FAR * np.sqrt(mean / shape)) + 10
    if most > MOST_GAPS:
        return 1.0 / shape
    place, weight = np.polynomial.legendre.leggauss(NODES)
    passed = mean * ((place + 1.0) / 2.0) ** 2  # closer where H rises steeply, at 0
    follow = gammainc(shape * np.arange(1, most + 1)[:, None], shape * passed).sum(axis=0)
    inside = mean * np.sum(weight * (place + 1.0) / 2.0 * (1.0 + 2.0 * follow))
    return max(0.0, float((inside - mean**2) / mean))


@_dispersion.register
def _of_replay(process: ReplayArrivals, rate_qps: float, window_s: float) -> float:
    """Of the trace, of whose arrivals each comes `copies` times on average.

    Arrivals left out at random leave 1 + copies (I − 1). Arrivals that come more than once bring
    their copies along, up to the next arrival, so counts are burstier than recorded (`_repeated`).
    """
    trace = process.trace
    speed, copies = replay_pace(process, rate_qps)
    if copies > 1.0 and trace.times_s_n is not None:
        return _repeated(trace.times_s_n, copies, window_s * speed)
    recorded = _recorded(trace, window_s * speed)
    # Of a period's counts copies only say that they move together: at most k times the dispersion.
    return copies * recorded if copies > 1.0 else 1.0 + copies * (recorded - 1.0)


def replay_pace(process: ReplayArrivals, rate_qps: float) -> tuple[float, float]:
    """(recorded seconds a second, arrivals for each recorded one) that make `rate_qps` of a
    trace."""
    recorded_qps = process.trace.total / process.trace.length_s
    if process.scale == "time":
        return rate_qps / recorded_qps, 1.0
    speed = process.speed or 1.0
    return speed, rate_qps / (recorded_qps * speed)


def _recorded(trace: RecordedTrace, window_s: float) -> float:
    """Of the trace itself, in windows of `window_s` recorded seconds; at least 1, since traces of
    few windows tell no more."""
    if trace.counts_k is not None and window_s < trace.period_s:
        # In a period arrivals lie at random: a shorter window shows its part of the rate's moves.
        of_periods = _recorded(trace, trace.period_s)
        return 1.0 + window_s / trace.period_s * (of_periods - 1.0)
    start_s_n = _starts_s(trace.duration_s, window_s)
    if not len(start_s_n):
        return 1.0
    counts_n = _before(trace, start_s_n + window_s) - _before(trace, start_s_n)
    mean = counts_n.mean()
    return max(1.0, float(counts_n.var() / mean)) if mean > 0 else 1.0


def _repeated(times_s_n: NDArray[np.float64], copies: float, window_s: float) -> float:
    """Of recorded times of which each comes k = m + f times: m times, and once more with
    probability f. The first copy lies at its time, the others anywhere up to the next time.

    With A recorded times in a window, and L of them if the steps between them were slopes,
    k E[A] I = Var(A + (k − 1) L) + E[Σ (m − 1) φ (1 − φ) + f φ (1 − f φ)] over the gaps between
    recorded times, φ being the part of a gap that the window covers.
    """
    start_s_n = _starts_s(float(times_s_n[-1]), window_s)
    if not len(start_s_n):
        return 1.0
    whole, part = int(copies), copies - int(copies)

    def chance(covered_n: NDArray[np.float64]) -> NDArray[np.float64]:
        of_copies_n = (whole - 1) * covered_n * (1 - covered_n)
        return np.asarray(of_copies_n + part * covered_n * (1 - part * covered_n))

    number_n = np.arange(len(times_s_n), dtype=np.float64)
    passed_n = np.interp(start_s_n, times_s_n, number_n)
    come_n = np.interp(start_s_n + window_s, times_s_n, number_n)
    gaps_n = np.floor(come_n) - np.floor(passed_n)  # 0: the window lies in one gap
    ends_n = chance(1 - passed_n % 1) + chance(come_n % 1) + (gaps_n - 1) * part * (1 - part)
    left_n = np.where(gaps_n > 0, ends_n, chance(come_n - passed_n))
    counts_n = np.searchsorted(times_s_n, start_s_n + window_s) - np.searchsorted(
        times_s_n, start_s_n
    )
    mean = copies * counts_n.mean()
    expected_n = counts_n + (copies - 1) * (come_n - passed_n)
    return float((expected_n.var() + left_n.mean()) / mean) if mean > 0 else 1.0


def _starts_s(length_s: float, window_s: float) -> NDArray[np.float64]:
    """Where windows begin of which every one ends within `length_s`; none if there is no room."""
    last_s = length_s - window_s
    if last_s <= 0:
        return np.empty(0)
    step_s = max(window_s / STARTS_A_WINDOW, last_s / MOST_STARTS)
    start_s_n: NDArray[np.float64] = np.arange(0.0, last_s, step_s)
    return start_s_n


def _before(trace: RecordedTrace, at_s_n: NDArray[np.float64]) -> NDArray[np.float64]:
    """Recorded arrivals up to a time; those of a period come evenly."""
    if trace.times_s_n is not None:
        return np.searchsorted(trace.times_s_n, at_s_n).astype(np.float64)
    assert trace.counts_k is not None
    ends_s_k = trace.period_s * np.arange(len(trace.counts_k) + 1)
    return np.asarray(np.interp(at_s_n, ends_s_k, np.append(0, np.cumsum(trace.counts_k))))
