"""Admission: a query that the device can no longer answer in time is refused when it arrives."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

from serving.node.batching import Batcher
from serving.node.errors import RefusedError

__all__ = ["WANT_OF_ROOM", "HoldOff", "find_refusal"]

WANT_OF_ROOM = frozenset({"overloaded", "queue_full"})
"""refusals that pass, and that the node below repeats by itself until room is expected"""
LONGEST_S = 0.5
LONGEST_GUESS_S = 0.02


def find_refusal(
    batcher: Batcher[Any],
    model: str,
    now_s: float,
    free_s: float,
    deadline_s: float = inf,
    max_waiting: int = 1024,
) -> RefusedError | None:
    """Why one more query of `model` may not be queued at `now_s`; None if it may.

    The device is busy until `free_s`. A query is refused that could not be answered by its own
    deadline, or could not be answered, or would keep others from being, within 2 T_b.
    """
    if batcher.waiting() >= max_waiting:
        wait_s = max(0.0, free_s - now_s)
        return RefusedError("queue_full", f"{max_waiting} queries are waiting", wait_s)
    done_s, excess_s = batcher.forecast(model, now_s, free_s)
    if excess_s > 0:
        message = "the node could not answer within its bound"
        return RefusedError("overloaded", message, excess_s)
    if done_s > deadline_s:
        message = f"the answer would come {done_s - deadline_s:.3f} s after the query's deadline"
        return RefusedError("deadline", message, done_s - deadline_s)
    return None


class HoldOff:
    """Refuses in place of a node above that said when it has room again.

    Without it every query beyond a full node's capacity would still cross the link, and cost that
    node the time to say no. A node that is full again soon after is left alone for twice as long
    as before, `LONGEST_GUESS_S` at most: that much of its queue it can work off meanwhile.
    """

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}

    def note(self, node: str, refusal: RefusedError, now_s: float) -> None:
        """Remember what `node` answered at `now_s`."""
        if refusal.reason not in WANT_OF_ROOM or refusal.retry_after_s <= 0:
            return
        held, hold_s = self._held.get(node), refusal.retry_after_s
        if held is not None:
            if now_s < held.until_s:  # it says the same to all that were on their way
                return
            if now_s - held.until_s <= 2 * held.hold_s:
                hold_s = max(hold_s, min(2 * held.hold_s, LONGEST_GUESS_S))
        hold_s = min(hold_s, LONGEST_S)
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
