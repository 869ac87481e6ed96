"""The load that the routers see: queries per second by client and task."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Mapping
from typing import NamedTuple

from cluster.demand import Phase
from serving.node.snapshot import NodeSnapshot

__all__ = ["LoadEstimator"]

PRIOR_QUERIES = 0.5
FEWEST_QUERIES = 20
"""seen within the horizon, below which there is no load to plan for"""


class LoadEstimator:
    """Queries per second by client and task, over the last `horizon_s` of snapshots.

    Half a query is added to every count, so that a task that happened not to be asked for in the
    last seconds still gets a way in the next plan.
    """

    def __init__(self, horizon_s: float, tasks: Collection[str]) -> None:
        self._horizon_s = horizon_s
        self._tasks = tuple(tasks)
        self._seen: deque[dict[str, _Count]] = deque()
        self._raw: dict[str, dict[str, int]] = {}

    def update(self, clients: Mapping[str, NodeSnapshot]) -> Phase | None:
        """Take in the clients' counters; None until two looks show enough queries between them."""
        self._seen.append({name: self._count(name, seen) for name, seen in clients.items()})
        while len(self._seen) > 2 and self._age_s(1) >= self._horizon_s:
            self._seen.popleft()
        if len(self._seen) < 2 or self._age_s(0) <= 0:
            return None
        first, last = self._seen[0], self._seen[-1]
        new = {name: last[name].arrived - first[name].arrived for name in last}
        if sum(counter.total() for counter in new.values()) < FEWEST_QUERIES:
            return None
        rates_qps: dict[str, dict[str, float]] = {}
        for name, counter in new.items():
            spent_s = last[name].taken_s - first[name].taken_s
            rates_qps[name] = {
                task: (counter[task] + PRIOR_QUERIES) / spent_s for task in self._tasks
            }
        return Phase(duration_s=self._age_s(0), rates_qps=rates_qps)

    def _count(self, name: str, seen: NodeSnapshot) -> _Count:
        """A node's queries since the first look. Its own counters begin anew when it is restarted:
        then all that they show is new."""
        before = self._raw.get(name, {})
        restarted = any(seen.arrived.get(task, 0) < count for task, count in before.items())
        former = self._seen[-1][name].arrived if self._seen else Counter[str]()
        since = Counter(dict(seen.arrived))
        if not restarted:
            since.subtract(before)
        self._raw[name] = dict(seen.arrived)
        return _Count(seen.taken_s, former + since)

    def _age_s(self, position: int) -> float:
        pairs = zip(self._seen[position].values(), self._seen[-1].values(), strict=True)
        return min(last.taken_s - first.taken_s for first, last in pairs)


class _Count(NamedTuple):
    """Queries that arrived at a client up to `taken_s`, by task."""

    taken_s: float
    arrived: Counter[str]
