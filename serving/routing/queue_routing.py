"""Ways chosen by what is queued now, within a plan: drift plus penalty, and the shorter promise.

A plan's shares are made for a mean load, with a part of every link left free for all that differs
from it. In a lull that part is idle, and in a burst it is too small. A client sees the backlog of
its own links, so it can use what is there:

- **Drift plus penalty** (`RoutingMode.PENALTY`). A query takes the way with the largest

      a - PRICE x backlog / what the backlog may be,

  a the accuracy of its model for the task. An empty link costs nothing, so all that is answered
  better above goes up. As the link fills, only those go up who gain most. With 0.82 above and 0.43
  at home that is until the backlog is at 0.78 of its limit, with 0.87 and 0.65 until 0.44. It is
  the policy of Lyapunov optimisation (Neely, 2010): a is its reward, the backlog its queue.
- **The shorter promise** (`RoutingMode.SHORTER`). Of the ways that the plan gives a task, the one
  that would promise the earliest answer now.

A node sees no queue but its own. So a model further away than the next node, such as the cloud's
behind an edge, is taken only by the queries that the plan sends there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from serving.routing.routes import RouteTable, RoutingMode, Target

__all__ = ["QueueState", "Queues", "follow_queues"]

PRICE = 0.5
"""accuracy that a query must gain to go up a link whose backlog is nearly full; docs/nodes.md has
the sweep"""
PLANNED = 1e-3
"""accuracy by which the way that the plan gives is preferred: of equal ways, that one"""


class QueueState(NamedTuple):
    """What is known here of a way that takes queries now."""

    backlog_share: float
    """backlog of the link to it / what that may be; 0 for a model held here"""
    promise_s: float
    """until an answer, at the latest"""
    seen: bool
    """whether the node is the next one: of those beyond it no queue is seen"""


Queues = Callable[[Target, str], QueueState | None]
"""(way, task) -> its state; None if a query would be refused there now"""


def follow_queues(
    table: RouteTable, task: str, planned: Target | None, queues: Queues
) -> Target | None:
    """The way of the next query of `task`, to which the shares give `planned` (None: they shed it).

    None if no way takes it now, or none but being shed is in the plan.
    """
    if table.routing is RoutingMode.SHORTER:
        return _shortest((way for way, _ in table.routes.get(task, ())), task, planned, queues)
    return _worthiest(table, task, planned, queues)


def _shortest(
    ways: Iterable[Target], task: str, planned: Target | None, queues: Queues
) -> Target | None:
    if planned is None:
        return None
    found: Target | None = None
    least_s = float("inf")
    for way in dict.fromkeys((planned, *ways)):
        state = queues(way, task)
        if state is not None and state.promise_s < least_s:
            found, least_s = way, state.promise_s
    return found


def _worthiest(
    table: RouteTable, task: str, planned: Target | None, queues: Queues
) -> Target | None:
    found: Target | None = None
    most = 0.0
    for way in table.ways(task):
        worth = table.accuracy.get(way.model, {}).get(task, 0.0)
        if way == planned:
            worth += PLANNED
        if worth <= most:  # even without a backlog
            continue
        state = queues(way, task)
        if state is None or not (state.seen or way == planned):
            continue
        worth -= PRICE * state.backlog_share
        if worth > most:
            found, most = way, worth
    return found
