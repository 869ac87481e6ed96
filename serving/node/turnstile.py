"""Whom a full node turns away at its door, before their queries are read.

Under overload nearly every query is refused, by the words of the one before: a refusal stands for a
few milliseconds, in which it is said again without asking the node anew. What that costs is taken
from the queries that are answered, so saying it again touches next to nothing; how often it was
said is counted when somebody looks.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from serving.node.admission import WANT_OF_ROOM
from serving.node.errors import RefusedError

__all__ = ["Standing", "Turnstile"]

PRESSED_S = 1.0
"""for so long after a refusal for want of room, queries are looked at before they are read"""
REPEATED = 0.02
"""for this part of T_b a refusal stands, REPEATED_S at most: of a full queue that much is soon
filled again, and under overload asking is most of what a refusal costs"""
REPEATED_S = 0.005


class Standing:
    """A refusal that stands until `until_s`, and how often it was said since that was counted."""

    __slots__ = ("_clock", "refusal", "times", "until_s")

    def __init__(self, refusal: RefusedError, until_s: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.refusal = refusal
        self.until_s = until_s
        self.times = 1

    def again(self) -> bool:
        """Whether it still stands; if so, it is said once more."""
        if self._clock() >= self.until_s:
            return False
        self.times += 1
        return True


class Turnstile:
    """The refusals that stand at a node's door, by task.

    `ask` says what a query of a task would be refused with now, `count` takes task, reason
    and times.
    """

    def __init__(
        self,
        window_s: float,
        ask: Callable[[str], RefusedError | None],
        count: Callable[[str, str, int], None],
        clock: Callable[[], float],
    ) -> None:
        self._hold_s = min(REPEATED * window_s, REPEATED_S)
        self._ask = ask
        self._count = count
        self._clock = clock
        self._pressed_until_s = -inf
        self._standing: dict[str, Standing] = {}

    def press(self, reason: str, now_s: float) -> None:
        """Somebody was refused."""
        if reason in WANT_OF_ROOM:
            self._pressed_until_s = now_s + PRESSED_S

    def turn_away(self, task: str) -> Standing | None:
        """The refusal of a query of `task` that arrives now, counted as said; None if the query
        might be answered, or nobody was refused of late for want of room."""
        standing = self._standing.get(task)
        if standing is not None and standing.again():
            return standing
        now_s = self._clock()
        if now_s >= self._pressed_until_s:
            return None
        refusal = self._ask(task)
        if refusal is None:
            return None
        self.settle()
        self.press(refusal.reason, now_s)
        standing = Standing(refusal, now_s + self._hold_s, self._clock)
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
