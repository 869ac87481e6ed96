"""What is known of one client's load: a long and a short memory, scatter, and changes of the mean.

The long memory forgets within minutes, so that bursts and lulls average out. It is cut short only
where the mean has really moved: then it starts again at the change. Two means are watched:

- the volume, against its own dispersion. A burst of a client that is known to send bursts is no
  change; the same burst of a calm one is.
- the mix: how many of the queries ask for each task. Bursts do not touch it, so a shift of the
  mix shows within a few looks however wild the volume is.
"""

from __future__ import annotations

from math import exp, sqrt

from pydantic import Field

from cluster.document import FrozenModel
from serving.replan.estimate.arrival_counts import NewQueries
from serving.replan.estimate.asked_together import AskedTogether
from serving.replan.estimate.change_point import Cusum
from serving.replan.estimate.common_bursts import ClientExcess
from serving.replan.estimate.dispersion import Dispersion
from serving.replan.estimate.mix_change import PRIOR_QUERIES, looks_since_mix_change
from serving.replan.estimate.stay import Stay

__all__ = ["MEMORY_S", "ClientLoad"]

MEMORY_S = 300.0
"""over which the long memory forgets, and for which a larger load of before is remembered"""
SHORT_MEMORY_S = 1.0
"""of the load of this moment, by which it is seen whether a burst goes on"""
RECENT_LOOKS = 30
"""kept one by one: as far back as a change can be dated"""
FIRST_LOOKS = 3
"""of a memory, before what comes is compared with it; the very first ones are compared with each
other"""
LARGEST_SQUARE = 9.0
"""of a residual of the mix that counts as scatter: beyond it the mix rather moved"""
LARGEST_WEIGHT = 0.2
"""of one look in the scatter of the mix"""
VOLUME_THRESHOLD = 20.0
"""of the test for a change of the volume: bursts come one after another, so it needs room"""

Look = tuple[float, dict[str, int], float]
"""seconds, new queries by task, `mix_scatter` before"""


class ClientLoad(FrozenModel):
    """The state of one client's estimate; `after` gives the next one.

    Volume and mix have a memory each, so that a change of one does not cost what is known of the
    other.
    """

    seconds: float = 0.0
    """behind the volume"""
    count: float = 0.0
    """queries in them"""
    mix_seconds: float = 0.0
    """behind the mix"""
    counts: dict[str, float] = Field(default_factory=dict)
    """queries in them, by task"""
    looks: int = 0
    """in the shorter of both memories"""
    short_seconds: float = 0.0
    short_count: float = 0.0
    recent: tuple[Look, ...] = ()
    volume: Cusum = Cusum()
    dispersion: Dispersion = Dispersion()
    mix_scatter: float = 1.0
    """mean square of the mix's residuals: 1 if tasks are drawn independently"""
    former_qps: float = 0.0
    """volume before the latest changes, where it was larger"""
    former_left_s: float = 0.0
    """for how long it is still remembered"""
    look_s: float = 0.0
    """usual time between looks"""
    seen_s: float = 0.0
    changes: int = 0
    """of volume or mix, so far"""
    stay: Stay = Stay()
    together: AskedTogether = AskedTogether()

    @property
    def volume_qps(self) -> float:
        """Queries per second over all tasks."""
        return self.count / self.seconds if self.seconds else 0.0

    @property
    def short_qps(self) -> float:
        """The same over the last seconds only."""
        return self.short_count / self.short_seconds if self.short_seconds else 0.0

    @property
    def shares(self) -> dict[str, float]:
        """Share of the queries by task; they sum to 1. A task that happened not to be asked for
        has one too, so that it gets a way in a plan."""
        total = sum(self.counts.values()) + PRIOR_QUERIES * len(self.counts)
        return {task: (count + PRIOR_QUERIES) / total for task, count in self.counts.items()}

    @property
    def rates_qps(self) -> dict[str, float]:
        """Queries per second by task."""
        return {task: self.volume_qps * share for task, share in self.shares.items()}

    @property
    def volume_error_qps(self) -> float:
        """Standard error of the volume: Poisson's, inflated by the dispersion."""
        if not self.seconds:
            return 0.0
        return sqrt(self.dispersion.in_the_long_run * (self.count + PRIOR_QUERIES)) / self.seconds

    @property
    def mix_errors_qps(self) -> dict[str, float]:
        """Standard error of each task's rate for a given volume."""
        queries = sum(self.counts.values()) + 1.0
        scatter = max(1.0, self.mix_scatter)
        return {
            task: self.volume_qps * sqrt(scatter * share * (1.0 - share) / queries)
            for task, share in self.shares.items()
        }

    def after(self, new: NewQueries) -> ClientLoad:
        """With one more look."""
        watched = self._compared(new) if self.looks >= FIRST_LOOKS else self
        grown = watched._added(new, self.mix_scatter)
        if grown.looks == FIRST_LOOKS == len(grown.recent):
            grown = grown._scatter_among_first()
        since = grown.volume.looks_since_change(VOLUME_THRESHOLD)
        if since:
            grown = grown._volume_restarted(since)
        since = looks_since_mix_change(
            grown.recent, grown.counts, MEMORY_S, grown.looks - FIRST_LOOKS
        )
        if since:
            grown = grown._mix_restarted(since)
        stay = self.stay.after(new.spent_s, grown.changes > self.changes)
        return grown.model_copy(update={"stay": stay})

    def excess(self, new: NewQueries) -> ClientExcess | None:
        """What `new` has beyond the mean that is known; None while hardly anything is."""
        if self.looks < FIRST_LOOKS:
            return None
        expected, scaled = self._expected(new)
        of_rate = (self.dispersion.of_a_look - 1.0) * expected
        return ClientExcess(scaled - expected, of_rate)

    def _expected(self, new: NewQueries) -> tuple[float, float]:
        """Queries that the mean would bring in the time of `new`, and those of `new`, drawn as
        much nearer to it as the mean itself is uncertain."""
        expected = (self.count + PRIOR_QUERIES) / self.seconds * new.spent_s
        widened = 1.0 + new.spent_s / self.seconds
        count = sum(new.queries.values())
        return expected, expected + (count - expected) / sqrt(widened)

    def _compared(self, new: NewQueries) -> ClientLoad:
        """The detectors and the scatter after holding `new` against the long memories."""
        count = sum(new.queries.values())
        expected, scaled = self._expected(new)
        widened = 1.0 + new.spent_s / self.seconds
        spread = self.dispersion.in_the_long_run * expected * widened + 1.0
        known = 1.0 + count / (sum(self.counts.values()) + 1.0)
        squares = []
        for task, share in self.shares.items():
            binomial = count * share * (1.0 - share) * known + 1.0
            excess = new.queries.get(task, 0) - count * share
            squares.append(min(excess**2 / binomial, LARGEST_SQUARE))
        weight = min(max(1.0 / (self.looks + 1), new.spent_s / MEMORY_S), LARGEST_WEIGHT)
        square = sum(squares) / len(squares) if squares else 1.0
        return self.model_copy(
            update={
                "volume": self.volume.after((count - expected) / sqrt(spread)),
                "dispersion": self.dispersion.after(scaled, expected, new.spent_s / MEMORY_S),
                "mix_scatter": self.mix_scatter + (square - self.mix_scatter) * weight,
            }
        )

    def _scatter_among_first(self) -> ClientLoad:
        """With the dispersion of the looks so far around their own mean: a burst in the first
        seconds shows at once. That mean lies nearer to them than the true one, hence the factor."""
        factor = sqrt(len(self.recent) / (len(self.recent) - 1))
        dispersion = self.dispersion
        for spent_s, queries, _ in self.recent:
            expected = (self.count + PRIOR_QUERIES) / self.seconds * spent_s
            count = expected + factor * (sum(queries.values()) - expected)
            dispersion = dispersion.after(count, expected, spent_s / MEMORY_S)
        return self.model_copy(update={"dispersion": dispersion})

    def _added(self, new: NewQueries, scatter: float) -> ClientLoad:
        """The memories with `new` in them; `scatter` is that of the mix before it."""
        kept, short = exp(-new.spent_s / MEMORY_S), exp(-new.spent_s / SHORT_MEMORY_S)
        count = sum(new.queries.values())
        left_s = max(0.0, self.former_left_s - new.spent_s)
        return self.model_copy(
            update={
                "seconds": self.seconds * kept + new.spent_s,
                "count": self.count * kept + count,
                "mix_seconds": self.mix_seconds * kept + new.spent_s,
                "counts": {t: self.counts.get(t, 0.0) * kept + n for t, n in new.queries.items()},
                "looks": self.looks + 1,
                "short_seconds": self.short_seconds * short + new.spent_s,
                "short_count": self.short_count * short + count,
                "recent": (
                    *self.recent,
                    (new.spent_s, dict(new.queries), scatter),
                )[-RECENT_LOOKS:],
                "former_left_s": left_s,
                "former_qps": self.former_qps if left_s else 0.0,
                "look_s": new.spent_s if not self.looks else 0.9 * self.look_s + 0.1 * new.spent_s,
                "seen_s": self.seen_s + new.spent_s,
                "together": self.together.after(new),
            }
        )

    def _volume_restarted(self, looks: int) -> ClientLoad:
        """The volume's memory cut to the last `looks`; what it was before is noted."""
        kept = self.recent[-looks:]
        seconds = sum(spent_s for spent_s, *_ in kept)
        count = float(sum(sum(queries.values()) for _, queries, _ in kept))
        before_qps = self._volume_without(seconds, count)
        larger = max(self.former_qps, before_qps)
        return self.model_copy(
            update={
                "seconds": seconds,
                "count": count,
                "looks": min(self.looks, len(kept)),
                "volume": Cusum(),
                "former_qps": larger,
                "former_left_s": MEMORY_S if larger == before_qps else self.former_left_s,
                "changes": self.changes + 1,
            }
        )

    def _mix_restarted(self, looks: int) -> ClientLoad:
        """The mix's memory cut to the last `looks`."""
        kept = self.recent[-looks:]
        return self.model_copy(
            update={
                "mix_seconds": sum(spent_s for spent_s, *_ in kept),
                "counts": {
                    task: float(sum(queries.get(task, 0) for _, queries, _ in kept))
                    for task in self.counts
                },
                "looks": min(self.looks, len(kept)),
                "changes": self.changes + 1,
            }
        )

    def _volume_without(self, seconds: float, count: float) -> float:
        """Volume before the last `seconds`, in which `count` queries arrived: the lower end of
        what it may have been, so that a single burst is not taken for a load of before."""
        rest_s = self.seconds - seconds
        if rest_s <= 0:
            return 0.0
        rest = max(0.0, self.count - count)
        error = sqrt(self.dispersion.in_the_long_run * (rest + PRIOR_QUERIES))
        return max(0.0, rest - 2.0 * error) / rest_s
