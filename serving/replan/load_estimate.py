"""The load that the routers see: queries per second by client and task."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping

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
        self._seen: deque[Mapping[str, NodeSnapshot]] = deque()

    def update(self, clients: Mapping[str, NodeSnapshot]) -> Phase | None:
        """Take in the clients' counters; None until two looks show enough queries between them."""
        self._seen.append(clients)
        while len(self._seen) > 2 and self._age_s(1) >= self._horizon_s:
            self._seen.popleft()
        if len(self._seen) < 2 or self._age_s(0) <= 0:
            return None
        first, last = self._seen[0], self._seen[-1]
        seen = sum(
            sum(snapshot.arrived.values()) - sum(first[name].arrived.values())
            for name, snapshot in last.items()
        )
        if seen < FEWEST_QUERIES:
            return None
        rates: dict[str, dict[str, float]] = {}
        for name, snapshot in last.items():
            spent_s = snapshot.taken_s - first[name].taken_s
            before = first[name].arrived
            rates[name] = {
                task: (snapshot.arrived.get(task, 0) - before.get(task, 0) + PRIOR_QUERIES)
                / spent_s
                for task in self._tasks
            }
        return Phase(duration_s=self._age_s(0), rates_qps=rates)

    def _age_s(self, position: int) -> float:
        pairs = zip(self._seen[position].values(), self._seen[-1].values(), strict=True)
        return min(last.taken_s - first.taken_s for first, last in pairs)
