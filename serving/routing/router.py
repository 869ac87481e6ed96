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

from serving.errors import NotServedError, RefusalReason, RefusedError
from serving.routing.queue_routing import Queues, follow_queues
from serving.routing.routes import Ask, RouteTable, RoutingMode, Target

__all__ = ["Router"]

DUST = 1e-6
"""share below which it is rounding"""


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
        for index, share in enumerate(self._shares):
            credit[index] += share
            if credit[index] > best + 1e-9:
                best, choice = credit[index], index
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
        self._table = table
        self._shared_passes = shared_passes
        self._queues = queues
        self._sequences: dict[tuple[str, ...], _WeightedRoundRobin] = {}

    @property
    def table(self) -> RouteTable:
        """The table in force."""
        return self._table

    def replace(self, table: RouteTable) -> None:
        """Follow `table` from the next query on."""
        self._table = table
        self._sequences = {}

    def pick(self, task: str) -> Target:
        """The way of the next query of `task`; raises as `pick_all` does."""
        return self.pick_all((task,))[0].target

    def pick_all(self, tasks: tuple[str, ...]) -> Way:
        """The way of the next request for `tasks`.

        Raises `NotServedError` if no onloaded model serves one of the tasks, `RefusedError` if
        one falls into the share that the plan sheds.
        """
        if len(tasks) > 1 and not self._shared_passes:
            return tuple(ask for task in tasks for ask in self.pick_all((task,)))
        by_queues = self._table.routing is not RoutingMode.SHARES
        if by_queues and len(tasks) == 1 and self._queues is not None:
            return self._by_queues(tasks[0], self._queues)
        return self._by_shares(tasks)

    def _by_queues(self, task: str, queues: Queues) -> Way:
        """The way of a query of `task` by what is queued now; by the shares if all are full. Its
        turn in the shares is taken either way, so that they are kept where queues do not differ."""
        refused: RefusedError | NotServedError | None = None
        planned: Way = ()
        try:
            planned = self._by_shares((task,))
        except (RefusedError, NotServedError) as refusal:
            refused = refusal
        found = follow_queues(self._table, task, planned[0].target if planned else None, queues)
        if found is not None:
            return (Ask(found, (task,)),)
        if refused is not None:
            raise refused
        return planned

    def _by_shares(self, tasks: tuple[str, ...]) -> Way:
        key = tasks if len(tasks) == 1 else tuple(sorted(set(tasks)))
        sequence = self._sequences.get(key)
        if sequence is None:
            for task in key:
                if not self._table.routes.get(task):
                    raise NotServedError(_not_served(task, self._table.routes))
            sequence = self._sequences[key] = _WeightedRoundRobin(_lay_out(key, self._table.routes))
        way = sequence.pick()
        if not way:
            raise RefusedError(RefusalReason.SHED, "refused: the plan sheds this share of the load")
        return way


def _lay_out(
    tasks: tuple[str, ...], routes: Mapping[str, tuple[tuple[Target, float], ...]]
) -> list[tuple[Way, float]]:
    """Every way that requests for `tasks` take, with its share; the shares of a task over all of
    them are its own. Each step takes the way on which most tasks meet, as often as it is left."""
    left = {task: _shares_of(routes[task]) for task in tasks}
    ways: list[tuple[Way, float]] = []
    while all(left.values()):
        chosen = _meet(left)
        share = min(left[task][target] for task, target in chosen.items())
        for task, target in chosen.items():
            left[task][target] -= share
            if left[task][target] < DUST:
                del left[task][target]
        ways.append((_way(chosen), share))
    return ways


def _shares_of(targets: Sequence[tuple[Target, float]]) -> dict[Target | None, float]:
    """Shares by target, what is shed (None) among them."""
    shares: dict[Target | None, float] = {}
    for target, share in targets:
        shares[target] = shares.get(target, 0.0) + share
    shares[None] = 1.0 - sum(shares.values())
    return {target: share for target, share in shares.items() if share > DUST}


def _meet(left: Mapping[str, Mapping[Target | None, float]]) -> dict[str, Target | None]:
    """A target for each task: first what most of them can take together, and being shed before
    all else, since one task that is shed takes the others with it."""
    chosen: dict[str, Target | None] = {}
    while len(chosen) < len(left):
        free = {task: shares for task, shares in left.items() if task not in chosen}
        found: dict[Target | None, list[float]] = {}
        for shares in free.values():
            for target, share in shares.items():
                found.setdefault(target, []).append(share)
        best = max(found, key=lambda t: (t is None, len(found[t]), sum(found[t])))
        chosen.update({task: best for task, shares in free.items() if best in shares})
    return chosen


def _way(chosen: Mapping[str, Target | None]) -> Way:
    asked: dict[Target, list[str]] = {}
    for task, target in sorted(chosen.items(), key=itemgetter(0)):
        if target is None:
            return ()
        asked.setdefault(target, []).append(task)
    return tuple(Ask(target, tuple(names)) for target, names in asked.items())


def _not_served(task: str, routes: Mapping[str, tuple[tuple[Target, float], ...]]) -> str:
    served: Iterable[str] = sorted(name for name, targets in routes.items() if targets)
    return f"no onloaded model serves task {task!r}; served here: {', '.join(served) or 'none'}"
