"""Admission: a query that the device can no longer answer in time is refused when it arrives."""

from __future__ import annotations

from math import inf
from typing import Any

from serving.node.batching import Batcher
from serving.node.errors import RefusedError

__all__ = ["HoldOff", "find_refusal"]

HELD_BACK = frozenset({"overloaded", "queue_full"})
"""refusals that the node below repeats by itself until room is expected"""


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
    node the time to say no.
    """

    def __init__(self, longest_s: float = 0.5) -> None:
        self._longest_s = longest_s
        self._until_s: dict[str, tuple[float, RefusedError]] = {}

    def note(self, node: str, refusal: RefusedError, now_s: float) -> None:
        """Remember what `node` answered at `now_s`."""
        if refusal.reason in HELD_BACK and refusal.retry_after_s > 0:
            wait_s = min(refusal.retry_after_s, self._longest_s)
            self._until_s[node] = (now_s + wait_s, refusal)

    def refusal(self, node: str, now_s: float) -> RefusedError | None:
        """The refusal of `node` that still holds, if one does."""
        held = self._until_s.get(node)
        if held is None:
            return None
        if now_s >= held[0]:
            del self._until_s[node]
            return None
        return RefusedError(held[1].reason, held[1].message, held[0] - now_s)
