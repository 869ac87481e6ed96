"""The contract between traffic and whatever answers it: live Ray system, simulator, null system.

`System.send(query) -> Answer` never raises for a query that the system refuses: a refusal is an
answer with `Outcome.SHED` and a reason. `Outcome.ERROR` is a fault of the system.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Answer", "Outcome", "Query", "SharingSystem", "System", "Timing"]


class Outcome(StrEnum):
    """What became of a query."""

    ANSWERED = "answered"
    SHED = "shed"
    ERROR = "error"


class Query(NamedTuple):
    """One image and the task asked of it, or class of one (F20), arriving at one client node."""

    client: str
    task: str
    body: bytes
    content_type: str = "image/png"
    within_s: float | None = None
    """seconds from its arrival after which an answer is worth nothing"""


class Timing(NamedTuple):
    """Where an answered query's time went, in seconds, as the serving node measured it."""

    queue_s: float = 0.0
    """from arrival at the serving node's executor until its window or batch closed"""
    batch_wait_s: float = 0.0
    """from the closing of its batch until the device began it"""
    compute_s: float = 0.0
    """device time of the batch the query was in"""
    link_s: float = 0.0
    """time on links, up and down, waiting for bandwidth included"""


class Answer(NamedTuple):
    """What came back for one query."""

    outcome: Outcome
    reason: str = ""
    """why it was refused, or why an answered query did not take the way of its plan"""
    prediction: NDArray[np.generic] | None = None
    tier: str = ""
    node: str = ""
    model: str = ""
    plan_version: int = 0
    batch_size: int = 0
    bound_s: float = 0.0
    """promised latency of the path taken: 2 T_b plus the links (F9, F13)"""
    timing: Timing = Timing()
    trace_id: str = ""
    """of a query whose way was traced (`serving.tracing`)"""


class System(Protocol):
    """Anything that answers queries."""

    async def send(self, query: Query) -> Answer:
        """Answer or refuse `query`."""
        ...


@runtime_checkable
class SharingSystem(System, Protocol):
    """A system that takes several tasks of one image in one request (F14)."""

    async def send_all(self, query: Query, tasks: tuple[str, ...]) -> dict[str, Answer]:
        """Answer or refuse all of `tasks`, asked of the query's image at its client."""
        ...
