"""How far off a prediction may be before it is said to fail.

On the devices of the machine that also generates the traffic, its own pace is part of every error;
devices that are emulated keep their profiles' times, so more can be asked. docs/benchmarks.md (rows
T1 to T5) has what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from serving.verdicts.verdict import Quantity

__all__ = ["EMULATED", "OWN", "Tolerance"]


@dataclass(frozen=True)
class Tolerance:
    """Of the size of an error."""

    value: float
    relative: bool
    only_below: bool = False
    """more than was predicted is no failure"""


OWN: Mapping[Quantity, Tolerance] = {
    Quantity.BATCH_LATENCY: Tolerance(0.15, relative=True),
    Quantity.BATCH_SIZE: Tolerance(0.25, relative=True),
    Quantity.UTILIZATION: Tolerance(0.05, relative=False),
    Quantity.ROUTE_SHARE: Tolerance(0.03, relative=False),
    Quantity.SHED_SHARE: Tolerance(0.01, relative=False),
    Quantity.ACCURACY: Tolerance(0.01, relative=False),
    Quantity.TASK_ACCURACY: Tolerance(0.03, relative=False),
    Quantity.LINK_BYTES: Tolerance(0.05, relative=True),
    Quantity.LINK_TIME: Tolerance(0.25, relative=True),
    Quantity.LATENCY_P50: Tolerance(0.25, relative=True),
    Quantity.LATENCY_P95: Tolerance(0.05, relative=True),
    Quantity.LATENCY_P99: Tolerance(0.10, relative=True),
    Quantity.IN_TIME: Tolerance(0.01, relative=False, only_below=True),
}
"""For devices of the machine that serves."""

EMULATED: Mapping[Quantity, Tolerance] = {
    **OWN,
    Quantity.BATCH_LATENCY: Tolerance(0.02, relative=True),
    Quantity.UTILIZATION: Tolerance(0.01, relative=False),
    Quantity.SHED_SHARE: Tolerance(0.005, relative=False),
    Quantity.LATENCY_P50: Tolerance(0.05, relative=True),
    Quantity.LATENCY_P95: Tolerance(0.03, relative=True),
}
"""For hierarchies in which every node emulates its device."""
