"""Queries that arrived between two looks at the clients' counters."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from serving.node.snapshot import NodeSnapshot

__all__ = ["ArrivalCounts", "NewQueries"]


class NewQueries(NamedTuple):
    """Queries that one client received in `spent_s` seconds, by task."""

    spent_s: float
    queries: dict[str, int]
    together: Mapping[str, int] = {}
    """requests that asked several of them of one image, by `bundle_name`"""


class ArrivalCounts:
    """Differences of counters that only rise, except where a node is started anew."""

    def __init__(self, tasks: Collection[str]) -> None:
        self._tasks = tuple(tasks)
        self._last: dict[str, NodeSnapshot] = {}

    def update(self, clients: Mapping[str, NodeSnapshot]) -> dict[str, NewQueries]:
        """What is new at each client since it was last looked at.

        A client whose counters are lower than before was restarted: all that they show is new. One
        that is seen for the first time, or whose clock did not advance, is left out.
        """
        found: dict[str, NewQueries] = {}
        for name, seen in clients.items():
            before = self._last.get(name)
            self._last[name] = seen
            if before is None or seen.taken_s <= before.taken_s:
                continue
            restarted = any(seen.arrived.get(t, 0) < count for t, count in before.arrived.items())
            base = {} if restarted else before.arrived
            count = {task: seen.arrived.get(task, 0) - base.get(task, 0) for task in self._tasks}
            known = {} if restarted else before.together
            together = {
                bundle: new
                for bundle, total in seen.together.items()
                if (new := total - known.get(bundle, 0)) > 0
            }
            found[name] = NewQueries(seen.taken_s - before.taken_s, count, together)
        return found
