"""Arrivals as they were recorded, brought to the rate of a phase.

Axes: n = arrival, k = period of a trace of counts. "Recorded seconds" are the trace's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.arrivals import ReplayArrivals
from cluster.errors import InputError
from cluster.recorded_trace import RecordedTrace
from serving.traffic.arrivals.step_path import StepPath

__all__ = ["Replayed", "replay"]


@dataclass(frozen=True, slots=True, eq=False)
class Replayed:
    """Times of a phase, and how they came from the trace."""

    times_s_n: NDArray[np.float64]
    how: str
    """for the report"""


def replay(process: ReplayArrivals, generator: np.random.Generator, rate: StepPath) -> Replayed:
    """Arrivals at mean rate `rate` (queries/s over the phase), as `process.trace` recorded them.

    Raises `InputError`, naming the file, if the trace is too short or the part has no arrival.
    """
    if rate.total <= 0:
        return Replayed(np.empty(0), f"{process.file}: nothing, the rate is 0")
    scaled = _thin if process.scale == "thin" else _squeeze
    return scaled(process, generator, rate)


def _thin(process: ReplayArrivals, generator: np.random.Generator, rate: StepPath) -> Replayed:
    """Leave out or double arrivals, each by its own draw; time runs as recorded, or `speed` times.

    Where the rate asks for k times what was recorded, an arrival comes ⌊k⌋ times, and once more
    with the probability that is left. A copy lies between its arrival and the next recorded one.
    """
    trace, speed = process.trace, process.speed or 1.0
    length_s = rate.duration_s * speed
    start_s = _start_s(process, generator, trace.duration_s - length_s)
    if start_s + length_s > trace.duration_s and not process.repeat:
        raise _too_short(process, trace, start_s, length_s)
    recorded_s_n = _window(trace, generator, start_s, length_s)
    if not len(recorded_s_n):
        raise InputError(
            f"{process.file}: nothing arrives from {start_s:g} s to {start_s + length_s:g} s; set "
            "`start_s` to a busier part"
        )
    last_s = np.nextafter(rate.duration_s, 0.0)  # rounding may put an arrival at the very end
    times_s_n = np.minimum(recorded_s_n / speed, last_s)
    recorded_qps = len(times_s_n) / rate.duration_s
    copies_n = rate.at(times_s_n) / recorded_qps
    whole_n = np.floor(copies_n)
    number_n = (whole_n + (generator.random(len(times_s_n)) < copies_n - whole_n)).astype(int)
    after_s_n = np.append(times_s_n[1:], rate.duration_s) - times_s_n
    first_n = np.repeat(np.arange(len(times_s_n)), number_n)
    is_copy_n = np.append(False, first_n[1:] == first_n[:-1])[: len(first_n)]
    moved_s_n = generator.random(len(first_n)) * after_s_n[first_n] * is_copy_n
    return Replayed(
        np.minimum(np.sort(times_s_n[first_n] + moved_s_n), last_s),
        f"{process.file} from {start_s:g} s, {speed:g} times as fast, "
        + _copies_words(rate.mean / recorded_qps),
    )


def _copies_words(copies: float) -> str:
    if copies > 1:
        return f"each recorded arrival {copies:.3g} times"
    return f"{copies:.3g} of the recorded arrivals"


def _squeeze(process: ReplayArrivals, generator: np.random.Generator, rate: StepPath) -> Replayed:
    """Take as many recorded arrivals as the phase has, and let time run so that they fill it."""
    trace, wanted = process.trace, max(1, round(rate.total))
    times_s_n = _all_times(trace, generator)
    latest_s = float(times_s_n[-wanted]) if wanted <= len(times_s_n) else 0.0
    start_s = _start_s(process, generator, latest_s)
    first = int(np.searchsorted(times_s_n, start_s))
    if first + wanted > len(times_s_n) and not process.repeat:
        raise InputError(
            f"{process.file}: {len(times_s_n) - first} arrivals from {start_s:g} s on, and the "
            f"phase takes {wanted}; say `repeat: true`, begin earlier, or shorten the phase"
        )
    index_n = first + np.arange(wanted + 1)
    rounds_n, index_n = index_n // len(times_s_n), index_n % len(times_s_n)
    taken_s_n = times_s_n[index_n] + rounds_n * trace.length_s
    span_s = float(taken_s_n[-1]) - start_s
    if span_s <= 0:
        raise InputError(f"{process.file}: every arrival has the same time; use `scale: thin`")
    passed_n = rate.total * (taken_s_n[:-1] - start_s) / span_s
    return Replayed(
        rate.times_s(passed_n[passed_n < rate.total]),
        f"{process.file} from {start_s:g} s, in time: {span_s / rate.duration_s:.3g} recorded "
        "seconds a second",
    )


def _start_s(process: ReplayArrivals, generator: np.random.Generator, latest_s: float) -> float:
    if process.start_s != "random":
        return process.start_s
    free_s = process.trace.duration_s if process.repeat else max(latest_s, 0.0)
    return float(generator.random() * free_s)


def _too_short(
    process: ReplayArrivals, trace: RecordedTrace, start_s: float, length_s: float
) -> InputError:
    return InputError(
        f"{process.file}: the trace ends after {trace.duration_s:g} s, and the phase takes it from "
        f"{start_s:g} s to {start_s + length_s:g} s; say `repeat: true`, or shorten the phase"
    )


def _window(
    trace: RecordedTrace, generator: np.random.Generator, start_s: float, length_s: float
) -> NDArray[np.float64]:
    """Arrivals from `start_s` on for `length_s` recorded seconds, as seconds from `start_s`.

    The trace begins again where it ends.
    """
    whole_s = trace.length_s
    start_s %= whole_s
    found: list[NDArray[np.float64]] = []
    passed_s = -start_s
    while passed_s < length_s:
        from_s, to_s = max(0.0, -passed_s), min(whole_s, length_s - passed_s)
        times_s_n = _times_between(trace, generator, from_s, to_s)
        found.append(times_s_n + passed_s)
        passed_s += whole_s
    return np.concatenate(found)


def _times_between(
    trace: RecordedTrace, generator: np.random.Generator, from_s: float, to_s: float
) -> NDArray[np.float64]:
    """Recorded arrivals in [from_s, to_s); those of a period of counts lie at random in it."""
    if trace.times_s_n is not None:
        first, last = np.searchsorted(trace.times_s_n, [from_s, to_s])
        return trace.times_s_n[first:last]
    assert trace.counts_k is not None
    first_k = int(from_s // trace.period_s)
    counts_k = trace.counts_k[first_k : int(-(-to_s // trace.period_s))]
    times_s_n = _spread(counts_k, trace.period_s, generator) + first_k * trace.period_s
    return times_s_n[(times_s_n >= from_s) & (times_s_n < to_s)]


def _all_times(trace: RecordedTrace, generator: np.random.Generator) -> NDArray[np.float64]:
    return _times_between(trace, generator, 0.0, trace.length_s)


def _spread(
    counts_k: NDArray[np.int64], period_s: float, generator: np.random.Generator
) -> NDArray[np.float64]:
    period_n = np.repeat(np.arange(len(counts_k)), counts_k)
    return np.sort((period_n + generator.random(len(period_n))) * period_s)
