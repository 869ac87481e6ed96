"""Counters and histograms that one thread both fills and shows.

The library's own take a lock for every value, which at a node is most of what counting costs. A
node counts and is scraped on its event loop, so these take none.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import inf

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

__all__ = ["Tally", "TallyCounter", "TallyHistogram"]

Labels = tuple[str, ...]


class TallyCounter(Collector):
    """A counter by labels, called `name` + "_total"."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self._about = (name, documentation, None, tuple(labels))
        self._totals: dict[Labels, float] = {}

    def add(self, labels: Labels, amount: float = 1.0) -> None:
        """`amount` more; 0 has the labels shown before there is anything to count."""
        self._totals[labels] = self._totals.get(labels, 0.0) + amount

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Prometheus: the counts so far."""
        family = CounterMetricFamily(*self._about)
        for labels, total in self._totals.items():
            family.add_metric(labels, total)
        yield family


class Tally:
    """Values by bucket."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * len(bounds)
        self.total = 0.0

    def add(self, value: float) -> None:
        """One more value; a bucket holds those up to its bound."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class TallyHistogram(Collector):
    """A histogram by labels; `bounds` are the upper ends of its buckets, without infinity."""

    def __init__(
        self, name: str, documentation: str, bounds: Sequence[float], labels: Sequence[str]
    ) -> None:
        self._about = (name, documentation, None, None, tuple(labels))
        self._bounds = (*bounds, inf)
        self._tallies: dict[Labels, Tally] = {}

    def of(self, labels: Labels) -> Tally:
        """The values of `labels`."""
        tally = self._tallies.get(labels)
        if tally is None:
            tally = self._tallies[labels] = Tally(self._bounds)
        return tally

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Prometheus: the values so far."""
        family = HistogramMetricFamily(*self._about)
        names = [floatToGoString(bound) for bound in self._bounds]
        for labels, tally in self._tallies.items():
            buckets = list(zip(names, accumulate(tally.counts), strict=True))
            family.add_metric(labels, buckets, tally.total)
        yield family
