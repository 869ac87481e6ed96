"""One prediction beside what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from pydantic import Field

from cluster.document import FrozenModel

__all__ = ["Held", "Quantity", "Source", "Verdict", "failed"]


class Quantity(StrEnum):
    """What is predicted."""

    BATCH_LATENCY = "batch latency"
    BATCH_SIZE = "batch size"
    UTILIZATION = "utilization"
    ROUTE_SHARE = "share of a route"
    SHED_SHARE = "share refused"
    ACCURACY = "accuracy"
    TASK_ACCURACY = "accuracy of a task"
    LINK_BYTES = "bytes on a link"
    LINK_TIME = "time on links"
    LATENCY_P50 = "latency, p50"
    LATENCY_P95 = "latency, p95"
    LATENCY_P99 = "latency, p99"
    IN_TIME = "answered within the bound"


class Source(StrEnum):
    """What a prediction comes from."""

    PROFILE = "profile"
    """`profiles.json`, for the batch sizes that were run (F15)"""
    PLAN = "plan"
    """the plan's evaluation at the load that it was made for"""
    SIMULATION = "simulation"
    """the same queries sent through the simulator"""


class Held(StrEnum):
    """Whether a prediction held."""

    YES = "holds"
    NO = "fails"
    UNSURE = "unsure"
    """beyond its tolerance, but by no more than chance explains in so few queries"""


class Verdict(FrozenModel):
    """A prediction, what was measured, and whether they agree."""

    quantity: Quantity
    where: str = Field(description="such as 'rooms-small-depth on edge-0'; empty for the whole run")
    source: Source
    predicted: float
    measured: float
    unit: str
    error: float = Field(description="measured - predicted; where `relative`, ÷ predicted")
    relative: bool
    tolerance: float = Field(description="of the error's size")
    margin: float = Field(description="half a 95 % interval of the error, by chance alone")
    held: Held
    cause: str = Field(default="", description="of a failure: what is likely to blame")


def failed(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those that do not hold, the worst by its tolerance first."""
    found = [verdict for verdict in verdicts if verdict.held is Held.NO]
    return sorted(found, key=lambda verdict: -abs(verdict.error) / verdict.tolerance)
