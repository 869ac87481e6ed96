"""Routes for the time in which a crowded node changes its models."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from serving.routing.routes import RouteTable, Target

__all__ = ["Capabilities", "Held", "Path", "interim_table", "open_ways"]

Ways = tuple[tuple[Target, float], ...]
Held = Mapping[str, frozenset[str]]
"""node -> models"""
Path = Sequence[tuple[str, str]]
"""(tier, node) of a client and of what it reaches, tier by tier, the cloud last"""


@dataclass(frozen=True)
class Capabilities:
    """Which models are known to serve which task."""

    models_of: Mapping[str, frozenset[str]]

    @classmethod
    def known(
        cls, tables: Iterable[RouteTable], serves: Mapping[str, Collection[str]]
    ) -> Capabilities:
        """Those that some route of `tables` names for it, and what `serves` says of models."""
        found: dict[str, set[str]] = {}
        for table in tables:
            for task, targets in table.routes.items():
                found.setdefault(task, set()).update(target.model for target, _ in targets)
        for model, tasks in serves.items():
            for task in tasks:
                found.setdefault(task, set()).add(model)
        return cls({task: frozenset(models) for task, models in found.items()})


def interim_table(
    table: RouteTable,
    final: RouteTable,
    able: Capabilities,
    ready: Held,
    path: Path,
    version: int,
) -> RouteTable:
    """`table` with what is not `ready` taken out, and its shares given to what is.

    What a task loses goes to the ways of the `final` table that are open already, else up to the
    cloud, else to its other ways of before, else to any model on the `path` that serves it: of a
    task with a deadline, to a refuge, which is in time for it. A task
    that had no way before takes the final ones as far as they are open. Of the refuges those stay
    that are `ready`.
    """
    routes: dict[str, Ways] = {}
    for task in dict.fromkeys((*table.routes, *final.routes)):
        before = table.routes.get(task, ())
        kept = _ready(before, ready)
        lost = sum(share for _, share in before) - sum(share for _, share in kept)
        if not before:
            routes[task] = _ready(final.routes.get(task, ()), ready)
        elif lost <= 0:
            routes[task] = kept
        else:
            routes[task] = _stand_ins(task, kept, lost, final, able, ready, path)
    refuges = {
        task: tuple(way for way in ways if way.model in ready.get(way.node, frozenset()))
        for task, ways in final.refuges.items()
    }
    return RouteTable(version, routes, refuges, final.routing, final.accuracy, final.deadlines_s)


def open_ways(
    task: str,
    final: RouteTable,
    able: Capabilities,
    ready: Held,
    path: Path,
) -> Ways:
    """The final ways of `task` that are open, else one to any ready model that serves it, the
    highest tier first; of a task with a deadline (F13) the first of its refuges."""
    planned = _ready(final.routes.get(task, ()), ready)
    if planned:
        return planned
    if task in final.deadlines_s:
        in_time = [(way, 1.0) for way in final.refuges.get(task, ())]
        return _ready(tuple(in_time), ready)[:1]
    models = able.models_of.get(task, frozenset())
    for tier, node in reversed(path):
        for model in sorted(ready.get(node, frozenset()) & models):
            return ((Target(tier, node, model), 1.0),)
    return ()


def _stand_ins(
    task: str,
    kept: Ways,
    lost: float,
    final: RouteTable,
    able: Capabilities,
    ready: Held,
    path: Path,
) -> Ways:
    ways = open_ways(task, final, able, ready, path)
    cloud = path[-1][1]
    planned = bool(_ready(final.routes.get(task, ()), ready))
    if kept and not planned and not any(target.node == cloud for target, _ in ways):
        ways = kept
    total = sum(share for _, share in ways)
    shares: dict[Target, float] = dict(kept)
    for target, share in ways:
        shares[target] = shares.get(target, 0.0) + lost * share / total
    return tuple(shares.items())


def _ready(targets: Ways, ready: Held) -> Ways:
    return tuple(
        (target, share)
        for target, share in targets
        if share > 0 and target.model in ready.get(target.node, frozenset())
    )
