"""The routing vector: what one client's routing adds up to, in one array of 4 + T floats.

    position  0        1       2      3         4      ...  3 + T
    holds     COMPUTE  UPLINK  VALUE  BACKHAUL  edge flow of task 0 ... of task T - 1

A vector and not a tuple, because the kernels mix two routings as a whole:
weight * low + (1 - weight) * high. This is the only file that knows the positions; numba compiles
them in as constants, so a name costs nothing.
"""

from __future__ import annotations

from planner.decomposition.compiled import compiled
from planner.problem import FloatArray

__all__ = [
    "BACKHAUL", "COMPUTE", "EDGE_FLOWS", "FIRST_EDGE_FLOW", "MASTER_PART", "UPLINK", "VALUE",
    "copy_routing", "routing_length",
]  # fmt: skip

COMPUTE = 0
"""Busy seconds per second of the client's own device (F5)."""
UPLINK = 1
"""Bytes/s over the client's own uplink, to its edge or beyond (F7)."""
VALUE = 2
"""Right answers/s of the client itself and of the cloud, the cloud's busy time charged (F1, F8).
What an edge flow earns is not in it: the models of the edge decide that."""
BACKHAUL = 3
"""Bytes/s from the edge to the cloud (F7)."""
FIRST_EDGE_FLOW = 4
"""Queries/s of task 0 for the edge; task t stands at FIRST_EDGE_FLOW + t."""

EDGE_FLOWS = slice(FIRST_EDGE_FLOW, None)
"""The edge flows of all tasks."""
MASTER_PART = slice(VALUE, None)
"""What the master of the edge sees: the client's own budgets (COMPUTE, UPLINK) are its own."""


@compiled
def routing_length(tasks: int) -> int:
    """Floats in the routing vector of a problem with so many tasks."""
    return FIRST_EDGE_FLOW + tasks


@compiled
def copy_routing(source: FloatArray, target: FloatArray) -> None:
    """Overwrite `target` with `source`. (A slice assignment does the same, but numba takes 3 s
    longer to compile it, most of that for its error messages.)"""
    for k in range(len(source)):
        target[k] = source[k]
