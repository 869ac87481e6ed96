"""Which way the next request goes: shares of the plan turned into a sequence, without coin flips.

A request may ask for several tasks of one image. Its tasks take their ways together, each still
by its own shares: as much as these allow, tasks that one model serves meet there in one pass (F14),
and what the plan sheds of each is shed at once.

A table may ask for a query of one task to follow the queues instead
(`serving.routing.queue_routing`); requests for several tasks keep to their shares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from operator import itemgetter

from cluster.topology import Tier
from planner.shared_ways import Hops, lay_out
from serving.errors import NotServedError, RefusalReason, RefusedError
from serving.routing.queue_routing import Queues, follow_queues
from serving.routing.routes import Ask, RouteTable, RoutingMode, Target

__all__ = ["Router"]


Way = tuple[Ask, ...]
"""the asks of one request; empty if it is shed"""


class _WeightedRoundRobin:
    """The ways of requests for one set of tasks, with their shares, and whose turn it is.

    Each choice goes to the way whose count lags furthest behind its share (smooth weighted round
    robin), so after n requests every count is within one of n x share, times the number of ways
    at worst. A burst is spread the way the plan's mean load is.
    """

    def __init__(self, ways: Sequence[tuple[Way, float]]) -> None:
        self._ways = [way for way, _ in ways]
        self._shares = [share for _, share in ways]
        self._credit = [0.0] * len(ways)

    def pick(self) -> Way:
        """The next request's way."""
        credit, best, choice = self._credit, -inf, 0
        if len(credit) == 1:
            return self._ways[0]
        for index, share in enumerate(self._shares):
            credit[index] = now = credit[index] + share
            if now > best + 1e-9:
                best, choice = now, index
        credit[choice] -= 1.0
        return self._ways[choice]


class Router:
    """Follows the shares of a `RouteTable` as closely as whole requests can.

    Without `shared_passes` every task of a request takes a way of its own. `queues` is asked where
    the table has a `routing` by queues; without it all tables are followed by their shares.
    """

    def __init__(
        self, table: RouteTable, shared_passes: bool = True, queues: Queues | None = None
    ) -> None:
        self.table = table
        """the table in force"""
        self._shares_alone = table.routing is RoutingMode.SHARES
        self._shared_passes = shared_passes
        self._queues = queues
        self._sequences: dict[tuple[str, ...], _WeightedRoundRobin] = {}

    def replace(self, table: RouteTable) -> None:
        """Follow `table` from the next query on."""
        self.table = table
        self._shares_alone = table.routing is RoutingMode.SHARES
        self._sequences = {}

    def pick(self, task: str) -> Target:
        """The way of the next query of `task`; raises as `pick_all` does."""
        return self.pick_all((task,))[0].target

    def pick_all(self, tasks: tuple[str, ...]) -> Way:
        """The way of the next request for `tasks`.

        Raises `NotServedError` if no onloaded model serves one of the tasks, `RefusedError` if
        one falls into the share that the plan sheds.
        """
        if len(tasks) == 1:
            if self._shares_alone or self._queues is None:
                return self._by_shares(tasks)
            return self._by_queues(tasks[0], self._queues)
        if not self._shared_passes:
            return tuple(ask for task in tasks for ask in self.pick_all((task,)))
        return self._by_shares(tasks)

    def _by_queues(self, task: str, queues: Queues) -> Way:
        """The way of a query of `task` by what is queued now; by the shares if all are full. Its
        turn in the shares is taken either way, so that they are kept where queues do not differ."""
        try:
            planned = self._by_shares((task,))
        except (RefusedError, NotServedError):
            found = follow_queues(self.table, task, None, queues)
            if found is None:
                raise
        else:
            found = follow_queues(self.table, task, planned[0].target, queues)
            if found is None:
                return planned
        return (Ask(found, (task,)),)

    def _by_shares(self, tasks: tuple[str, ...]) -> Way:
        key = tasks if len(tasks) == 1 else tuple(sorted(set(tasks)))
        sequence = self._sequences.get(key)
        if sequence is None:
            for task in key:
                if not self.table.routes.get(task):
                    raise NotServedError(_not_served(task, self.table.routes))
            sequence = self._sequences[key] = _WeightedRoundRobin(_lay_out(key, self.table.routes))
        way = sequence.pick()
        if not way:
            raise RefusedError(RefusalReason.SHED, "refused: the plan sheds this share of the load")
        return way


def _lay_out(
    tasks: tuple[str, ...], routes: Mapping[str, tuple[tuple[Target, float], ...]]
) -> list[tuple[Way, float]]:
    """Every way that requests for `tasks` take, with its share; the shares of a task over all of
    them are its own."""
    shares = {task: _shares_of(routes[task]) for task in tasks}
    targets = [target for places in shares.values() for target in places]
    # Only where there is one edge may a way to the cloud leave out which one it passes.
    one_link = any(target.tier == Tier.CLOUD and not target.via for target in targets)

    def hops(target: Target) -> Hops:
        if target.tier == Tier.CLIENT:
            return None, None
        link = "" if one_link else target.via or target.node
        backhaul = ("backhaul", link) if target.tier == Tier.CLOUD else None
        return backhaul, ("uplink", link)

    return [(_way(chosen), share) for chosen, share in lay_out(shares, hops)]


def _shares_of(targets: Sequence[tuple[Target, float]]) -> dict[Target, float]:
    """Shares by target."""
    shares: dict[Target, float] = {}
    for target, share in targets:
        shares[target] = shares.get(target, 0.0) + share
    return shares


def _way(chosen: Mapping[str, Target]) -> Way:
    asked: dict[Target, list[str]] = {}
    for task, target in sorted(chosen.items(), key=itemgetter(0)):
        asked.setdefault(target, []).append(task)
    return tuple(Ask(target, tuple(names)) for target, names in asked.items())


def _not_served(task: str, routes: Mapping[str, tuple[tuple[Target, float], ...]]) -> str:
    served: Iterable[str] = sorted(name for name, targets in routes.items() if targets)
    return f"no onloaded model serves task {task!r}; served here: {', '.join(served) or 'none'}"
