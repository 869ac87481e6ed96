"""The routing vector: what one client's routing adds up to, in one array of 3 + 2 T floats.

    position  0        1       2      3      ...  2 + T      3 + T  ...  2 + 2 T
    holds     COMPUTE  UPLINK  VALUE  edge flows of all T tasks   cloud flows of all T tasks

A vector and not a tuple, because the kernels mix two routings as a whole:
weight * low + (1 - weight) * high. This is the only file that knows the positions; numba compiles
them in as constants, so a name costs nothing.
"""

from __future__ import annotations

from planner.decomposition.compiled import compiled
from planner.problem import FloatArray

__all__ = [
    "COMPUTE", "FIRST_EDGE_FLOW", "UPLINK", "VALUE",
    "cloud_flows", "copy_routing", "edge_flows", "routing_length",
]  # fmt: skip

COMPUTE = 0
"""Busy seconds per second of the client's own device (F5)."""
UPLINK = 1
"""Bytes/s over the client's own uplink, to its edge or beyond (F7)."""
VALUE = 2
"""Right answers/s of the client itself and of the cloud, the cloud's busy time charged (F1, F8).
What an edge flow earns is not in it: the models of the edge decide that."""
FIRST_EDGE_FLOW = 3
"""Queries/s of task 0 for the edge; task t stands at FIRST_EDGE_FLOW + t, its queries/s for the
cloud T places further."""


def edge_flows(routing_cr: FloatArray, tasks: int) -> FloatArray:
    """Queries/s for the edge, c x t."""
    return routing_cr[:, FIRST_EDGE_FLOW : FIRST_EDGE_FLOW + tasks]


def cloud_flows(routing_cr: FloatArray, tasks: int) -> FloatArray:
    """Queries/s for the cloud, c x t."""
    return routing_cr[:, FIRST_EDGE_FLOW + tasks :]


@compiled
def routing_length(tasks: int) -> int:
    """Floats in the routing vector of a problem with so many tasks."""
    return FIRST_EDGE_FLOW + 2 * tasks


@compiled
def copy_routing(source: FloatArray, target: FloatArray) -> None:
    """Overwrite `target` with `source`.

    `target[:] = source` does the same, but numba then also compiles the code that writes its error
    message, which takes seconds.
    """
    for k in range(len(source)):
        target[k] = source[k]
