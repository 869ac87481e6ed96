"""Admission: a query that the device can no longer answer in time is refused when it arrives."""

from __future__ import annotations

from math import inf
from typing import Any

from serving.errors import RefusalReason, RefusedError
from serving.node.device.batching import Batcher

__all__ = ["find_refusal"]

PROBE_S = 1.0
"""so often one query of a model is taken that by its estimate could never be answered in time"""


def find_refusal(
    batcher: Batcher[Any],
    model: str,
    now_s: float,
    free_s: float,
    deadline_s: float = inf,
    max_waiting: int = 1024,
    since_s: float = 0.0,
) -> RefusedError | None:
    """Why one more query of `model` may not be queued at `now_s`; None if it may.

    The device is busy until `free_s`. A query is refused that could not be answered by its own
    deadline, or could not be answered, or would keep others from being, within 2 T_b.

    Where batches of `model` are taken to be too long for any query, one is queued all the same if
    it comes more than `PROBE_S` after the last, `since_s`. Else an estimate that a few stalls
    spoilt would stand for ever: no batch would correct it any more.
    """
    if batcher.waiting() >= max_waiting:
        wait_s = max(0.0, free_s - now_s)
        return RefusedError(RefusalReason.QUEUE_FULL, f"{max_waiting} queries are waiting", wait_s)
    done_s, excess_s = batcher.forecast(model, now_s, free_s)
    if excess_s > 0:
        if since_s > PROBE_S and not batcher.waiting(model) and batcher.never_fits(model):
            return None
        message = "the node could not answer within its bound"
        return RefusedError(RefusalReason.OVERLOADED, message, excess_s)
    if done_s > deadline_s:
        message = f"the answer would come {done_s - deadline_s:.3f} s after the query's deadline"
        return RefusedError(RefusalReason.DEADLINE, message, done_s - deadline_s)
    return None
