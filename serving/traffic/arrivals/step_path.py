"""A value over time that is constant between steps: a rate, or a factor of one.

Axes: k = step, n = arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["StepPath", "constant", "product", "steps_of", "total_of"]

STEPS = 256
"""that a smooth path is cut into; a phase of a minute then has four a second"""


@dataclass(frozen=True, slots=True, eq=False)
class StepPath:
    """`values_k[k]` holds from `starts_s_k[k]` on; the first start is 0, the end `duration_s`."""

    starts_s_k: NDArray[np.float64]
    values_k: NDArray[np.float64]
    duration_s: float

    @property
    def integral_k(self) -> NDArray[np.float64]:
        """Integral from 0 to each start, and to the end (k + 1)."""
        ends_s = np.append(self.starts_s_k[1:], self.duration_s)
        return np.concatenate([[0.0], np.cumsum(self.values_k * (ends_s - self.starts_s_k))])

    @property
    def total(self) -> float:
        """Integral over the whole duration: of a rate, the expected number of arrivals."""
        return float(self.integral_k[-1])

    @property
    def mean(self) -> float:
        """Mean over time."""
        return self.total / self.duration_s

    def at(self, times_s_n: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values (n) at these times."""
        step_n = np.searchsorted(self.starts_s_k, times_s_n, side="right") - 1
        return self.values_k[step_n]

    def times_s(self, passed_n: NDArray[np.float64]) -> NDArray[np.float64]:
        """Times (n) by which the integral has grown to `passed_n`, each below `total`.

        So arrivals of rate 1 become arrivals of this rate (change of time). One that rounding puts
        at the end is left out.
        """
        integral_k = self.integral_k
        step_n = np.searchsorted(integral_k[1:], passed_n, side="right")
        into_n = (passed_n - integral_k[step_n]) / self.values_k[step_n]
        times_s_n: NDArray[np.float64] = self.starts_s_k[step_n] + into_n
        return times_s_n[times_s_n < self.duration_s]

    def scaled(self, factor: float) -> StepPath:
        """Every value times `factor`."""
        return StepPath(self.starts_s_k, self.values_k * factor, self.duration_s)


def constant(value: float, duration_s: float) -> StepPath:
    """One step."""
    return StepPath(np.zeros(1), np.array([value], dtype=np.float64), duration_s)


def steps_of(
    function: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    duration_s: float,
    steps: int = STEPS,
) -> StepPath:
    """`function` of time, held over each of `steps` equal parts at its value in the middle."""
    edges_s = np.linspace(0.0, duration_s, steps + 1)
    return StepPath(edges_s[:-1], function((edges_s[:-1] + edges_s[1:]) / 2), duration_s)


def product(paths: Sequence[StepPath]) -> StepPath:
    """The product at every time. All `paths` have one duration."""
    return _merge(paths, np.multiply)


def total_of(paths: Sequence[StepPath]) -> StepPath:
    """The sum at every time. All `paths` have one duration."""
    return _merge(paths, np.add)


def _merge(paths: Sequence[StepPath], combine: np.ufunc) -> StepPath:
    first, *others = paths
    if not others:
        return first
    starts_s_k = np.unique(np.concatenate([path.starts_s_k for path in paths]))
    values_k = first.at(starts_s_k)
    for path in others:
        values_k = combine(values_k, path.at(starts_s_k))
    return StepPath(starts_s_k, values_k, first.duration_s)
