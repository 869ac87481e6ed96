"""What the plan's routes are made of: targets, asks, a client's table, and the hops to a target."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

__all__ = ["Ask", "RouteTable", "RoutingMode", "Target", "frames_up", "next_hop"]


class Target(NamedTuple):
    """A model on a node that the client reaches. `via` is the edge that a query passes on its way
    to the cloud; it may be left out where there is only one."""

    tier: str
    node: str
    model: str
    via: str = ""


class Ask(NamedTuple):
    """Tasks of one image that go to one target together."""

    target: Target
    tasks: tuple[str, ...]


class RoutingMode(StrEnum):
    """How a client chooses among the ways of a task (`serving.routing.queue_routing`)."""

    SHARES = "shares"
    """by the plan's shares, whatever is queued"""
    SHORTER = "shorter"
    """the way of the plan whose promise is the shorter now"""
    PENALTY = "penalty"
    """the most accurate way in reach, less a price on the backlog before it"""


@dataclass(frozen=True)
class RouteTable:
    """The routes of one client in one plan version: task -> ((target, share), ...).

    What the shares of a task leave of 1 is shed. A task with no target is not served.
    """

    version: int
    routes: Mapping[str, tuple[tuple[Target, float], ...]]
    refuges: Mapping[str, tuple[Target, ...]] = field(default_factory=dict)
    """task -> every model that the client reaches and that serves it, the most accurate first:
    where a query goes whose own way is full (spill-over) or gone"""
    routing: RoutingMode = RoutingMode.SHARES
    accuracy: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """model -> task -> a_mt of the models in reach; needed for `RoutingMode.PENALTY` only"""
    deadlines_s: Mapping[str, float] = field(default_factory=dict)
    """task, or class of one (TASK@CLASS) -> seconds within which its queries are to be answered
    (F13, F20); none where left out"""

    def ways(self, task: str) -> tuple[Target, ...]:
        """Every target of `task`: its refuges, then those of its routes by share, each once."""
        by_share = sorted(self.routes.get(task, ()), key=lambda entry: -entry[1])
        routed = (target for target, _ in by_share)
        return tuple(dict.fromkeys((*self.refuges.get(task, ()), *routed)))

    def due_s(
        self, tasks: Iterable[str], arrived_s: float, deadline_s: float | None
    ) -> float | None:
        """When a request for `tasks` that arrived at `arrived_s` must be answered: within the
        shortest of their deadlines, and by the caller's own `deadline_s`; None for no matter when.
        """
        if not self.deadlines_s:
            return deadline_s
        known_s = [arrived_s + self.deadlines_s[t] for t in tasks if t in self.deadlines_s]
        if deadline_s is not None:
            known_s.append(deadline_s)
        return min(known_s, default=None)


def next_hop(target: Target, above: Collection[str]) -> str | None:
    """Which of the nodes directly `above` a query for `target` goes to: the edge it is to pass,
    its target itself, or else the first; None if there is none."""
    if target.via in above:
        return target.via
    if target.node in above:
        return target.node
    return next(iter(above), None)


def frames_up(
    asks: Iterable[Ask], above: Collection[str], shared_passes: bool
) -> list[tuple[Ask, ...]]:
    """`asks` by the frames in which they go up: those that take the same link share one, and with
    it the image, unless passes are not shared."""
    if not shared_passes:
        return [(ask,) for ask in asks]
    by_hop: dict[str | None, list[Ask]] = {}
    for ask in asks:
        by_hop.setdefault(next_hop(ask.target, above), []).append(ask)
    return [tuple(together) for together in by_hop.values()]
