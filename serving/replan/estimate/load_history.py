"""Queries that arrived in past periods, by client and task, and the load that was seen before each.

Axes: k = period, s = stream, which is a client and a task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cluster.document import FrozenModel
from serving.replan.estimate.arrival_counts import NewQueries
from serving.replan.estimate.load_estimate import LoadEstimate

__all__ = ["LoadHistory", "PastPeriod"]

Stream = tuple[str, str]


class PastPeriod(FrozenModel):
    """A period, whole or not over yet."""

    queries: dict[str, dict[str, int]] = Field(default_factory=dict, description="client -> task")
    seen_qps: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="the estimate when it began, client -> task; or nothing"
    )


class LoadHistory(FrozenModel):
    """Whole periods, the latest ones, and the one that is not over.

    What a look shows belongs to the period before the look, so a period is exact to one look.
    """

    period_s: float = Field(default=60.0, gt=0)
    kept: int = Field(default=0, ge=0, description="periods; with 0 none is kept")
    periods: tuple[PastPeriod, ...] = ()
    filling: PastPeriod = PastPeriod()
    number: int = Field(default=0, ge=0, description="of the period that is not over")

    def begun(self, now_s: float) -> LoadHistory:
        """An empty history of the same periods, of which one is there at `now_s`."""
        number = int(now_s / self.period_s + 1e-9) if self.kept else 0
        return LoadHistory(period_s=self.period_s, kept=self.kept, number=number)

    def goes_on_from(self, before: LoadHistory, now_s: float) -> LoadHistory:
        """`before`, of a loop that ended, if it counted the same periods on the same clock; else
        one that begins at `now_s`."""
        empty = self.begun(now_s)
        same = (before.period_s, before.kept) == (self.period_s, self.kept)
        return before if same and before.number <= empty.number else empty

    def after(
        self, new: Mapping[str, NewQueries], estimate: LoadEstimate | None, at_s: float
    ) -> LoadHistory:
        """With what is `new` at a look at `at_s` by the clock that numbers periods, and the
        `estimate` then.

        A look that is late by whole periods leaves periods without queries.
        """
        if not self.kept:
            return self
        queries = {client: dict(tasks) for client, tasks in self.filling.queries.items()}
        for client, found in new.items():
            known = queries.setdefault(client, {})
            for task, count in found.queries.items():
                known[task] = known.get(task, 0) + count
        filled = self.filling.model_copy(update={"queries": queries})
        number = int(at_s / self.period_s + 1e-9)
        if number <= self.number:
            return self.model_copy(update={"filling": filled})
        # After a jump of the clock, many more periods are missing than are kept.
        empty = (PastPeriod(),) * min(number - self.number - 1, self.kept)
        return self.model_copy(
            update={
                "periods": (*self.periods, filled, *empty)[-self.kept :],
                "filling": PastPeriod(seen_qps=estimate.rates_qps if estimate else {}),
                "number": number,
            }
        )

    @property
    def streams(self) -> tuple[Stream, ...]:
        """Every client and task that was counted, in order of their names."""
        found = {(c, t) for p in self.periods for c, tasks in p.queries.items() for t in tasks}
        return tuple(sorted(found))

    @property
    def count_ks(self) -> NDArray[np.float64]:
        """Queries of the whole periods (k x s)."""
        return _table([period.queries for period in self.periods], self.streams)

    @property
    def seen_ks(self) -> NDArray[np.float64]:
        """Queries that the load seen at each period's begin comes to, of the whole periods and of
        the one that is not over (k + 1 x s)."""
        whole = [period.seen_qps for period in (*self.periods, self.filling)]
        return self.period_s * _table(whole, self.streams)


def _table(
    periods: Sequence[Mapping[str, Mapping[str, float]]], streams: Sequence[Stream]
) -> NDArray[np.float64]:
    values = [[float(each.get(c, {}).get(t, 0.0)) for c, t in streams] for each in periods]
    return np.array(values).reshape(len(periods), len(streams))
