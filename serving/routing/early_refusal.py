"""Refusals that are repeated without asking anew, because they will hold for a moment.

Under overload nearly every query is refused, with the words of the one before. What saying so costs
is taken from the queries that are answered. Two places repeat a refusal:

- `EarlyRefusals`, at a node's own door: a query is refused from its head, before its body is read,
  while every way of its task is full.
- `NodeBackoff`, at the lower end of a link: after a node above has said when it has room again,
  queries for it are refused here until then, instead of crossing the link to hear the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from serving.errors import RefusalReason, RefusedError

__all__ = ["EarlyRefusals", "NodeBackoff", "StandingRefusal"]

WATCHED_S = 1.0
"""for so long after a refusal for want of room, queries are judged before they are read"""
STANDING_SHARE = 0.02
"""for this part of T_b a refusal stands, STANDING_S at most: of a full queue that much is soon
filled again, and under overload asking is most of what a refusal costs"""
STANDING_S = 0.005
BACKOFF_S = 0.5
"""the longest that a node above is not asked"""
GUESSED_BACKOFF_S = 0.02
"""the longest to which repeated refusals lengthen a shorter time that the node named itself"""


class StandingRefusal:
    """A refusal that stands until `until_s`, and how often it was said since that was counted."""

    __slots__ = ("_clock", "refusal", "times", "until_s")

    def __init__(self, refusal: RefusedError, until_s: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.refusal = refusal
        self.until_s = until_s
        self.times = 1

    def repeat(self) -> bool:
        """Whether it still stands; if so, it counts as said once more."""
        if self._clock() >= self.until_s:
            return False
        self.times += 1
        return True


class EarlyRefusals:
    """The refusals that stand at a node's door, by task.

    `ask` says what a query of a task would be refused with now, `count` takes task, reason
    and times.
    """

    def __init__(
        self,
        window_s: float,
        ask: Callable[[str], RefusedError | None],
        count: Callable[[str, RefusalReason, int], None],
        clock: Callable[[], float],
    ) -> None:
        self._standing_s = min(STANDING_SHARE * window_s, STANDING_S)
        self._ask = ask
        self._count = count
        self._clock = clock
        self._watched_until_s = -inf
        self._standing: dict[str, StandingRefusal] = {}

    def note(self, reason: RefusalReason, now_s: float) -> None:
        """Take in that a query was refused."""
        if reason.passes_soon:
            self._watched_until_s = now_s + WATCHED_S

    def refuse(self, task: str) -> StandingRefusal | None:
        """The refusal of a query of `task` that arrives now, counted as said; None if the query
        might be answered, or nobody was refused of late for want of room."""
        standing = self._standing.get(task)
        if standing is not None and standing.repeat():
            return standing
        now_s = self._clock()
        if now_s >= self._watched_until_s:
            return None
        refusal = self._ask(task)
        if refusal is None:
            return None
        self.settle()
        self.note(refusal.reason, now_s)
        standing = StandingRefusal(refusal, now_s + self._standing_s, self._clock)
        self._standing[task] = standing
        return standing

    def settle(self) -> None:
        """Count what was said and is not counted yet."""
        for task, standing in self._standing.items():
            if standing.times:
                times, standing.times = standing.times, 0
                self._count(task, standing.refusal.reason, times)

    def forget(self) -> None:
        """Ask anew from now on: what is refused may have changed."""
        self.settle()
        for standing in self._standing.values():
            standing.until_s = -inf
        self._standing.clear()


class NodeBackoff:
    """Refuses in place of a node above that said when it has room again.

    Without it every query beyond a full node's capacity would still cross the link, and cost that
    node the time to say no. A node that is full again soon after is left alone for twice as long
    as before, `GUESSED_BACKOFF_S` at most: that much of its queue it can work off meanwhile.
    """

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}

    def note(self, node: str, refusal: RefusedError, now_s: float) -> None:
        """Remember what `node` answered at `now_s`."""
        if not refusal.reason.passes_soon or refusal.retry_after_s <= 0:
            return
        held, hold_s = self._held.get(node), refusal.retry_after_s
        if held is not None:
            if now_s < held.until_s:  # it says the same to all that were on their way
                return
            if now_s - held.until_s <= 2 * held.hold_s:
                hold_s = max(hold_s, min(2 * held.hold_s, GUESSED_BACKOFF_S))
        hold_s = min(hold_s, BACKOFF_S)
        self._held[node] = _Held(now_s + hold_s, hold_s, refusal)

    def refusal(self, node: str, now_s: float) -> RefusedError | None:
        """The refusal of `node` that still holds, if one does."""
        held = self._held.get(node)
        if held is None or now_s >= held.until_s:
            return None
        return RefusedError(held.refusal.reason, held.refusal.message, held.until_s - now_s)


@dataclass(frozen=True, slots=True)
class _Held:
    """Until when, and for how long, a node's refusal is repeated."""

    until_s: float
    hold_s: float
    refusal: RefusedError
