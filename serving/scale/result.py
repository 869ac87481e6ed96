"""`scale.json`: what clusters of so many nodes took, and how that grows with each node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
from pydantic import Field

from cluster.document import Document, FrozenModel
from cluster.provenance import Provenance

__all__ = ["GROWING", "MemoryFigures", "ScaleResult", "ScaleRow", "Slope", "slopes_of"]

GROWING = ("up_s", "launch_s", "first_plan_s", "distribution_s", "down_s", "cluster_bytes")
"""the figures to which a line is fitted"""


class MemoryFigures(FrozenModel):
    """Bytes that the processes of nodes hold."""

    median_bytes: float = Field(gt=0)
    most_bytes: float = Field(gt=0)

    @classmethod
    def of(cls, held_bytes: Sequence[int]) -> Self:
        """Of one process a node."""
        return cls(median_bytes=float(np.median(held_bytes)), most_bytes=max(held_bytes))


class ScaleRow(FrozenModel):
    """One cluster of null nodes."""

    nodes: int = Field(ge=1)
    clients: int
    edges: int
    up_s: float = Field(description="until Ray runs")
    launch_s: float = Field(description="until every node's process serves")
    first_plan_s: float = Field(description="until the first plan is in force: nodes load models")
    distribution_s: float = Field(
        description="until a plan with other routes is in force on all nodes, and checked; the "
        "median of `changes` changes"
    )
    slowest_distribution_s: float
    changes: int
    answered: int = Field(description="clients that answered a query, which is all of them")
    answer_s: float = Field(description="median of these queries, one after another")
    down_s: float
    node_resident: MemoryFigures
    node_proportional: MemoryFigures
    ray_bytes: int = Field(description="proportional memory of Ray's own processes, all together")
    cluster_bytes: int = Field(description="proportional memory of all processes")


class Slope(FrozenModel):
    """The line through one figure of all rows, by least squares."""

    figure: str
    at_none: float = Field(description="where the line meets no nodes")
    each_node: float
    standard_error: float | None = Field(
        default=None, description="of `each_node`; absent where two rows lie on any line"
    )


class ScaleResult(Document):
    """What `testbed scale` measured."""

    made_by: ClassVar[str] = "`testbed scale --out` makes one"

    provider: str
    rows: tuple[ScaleRow, ...]
    slopes: tuple[Slope, ...]
    stopped: str | None = Field(
        default=None, description="why larger clusters that were asked for were left out"
    )
    provenance: Provenance


def slopes_of(rows: Sequence[ScaleRow]) -> tuple[Slope, ...]:
    """A line for each of `GROWING`; none through a single row."""
    if len(rows) < 2:
        return ()
    nodes_r = [row.nodes for row in rows]
    found = []
    for figure in GROWING:
        values_r = [float(getattr(row, figure)) for row in rows]
        error = None
        if len(rows) == 2:
            each_node, at_none = np.polyfit(nodes_r, values_r, 1)
        else:
            (each_node, at_none), covariance = np.polyfit(nodes_r, values_r, 1, cov=True)
            error = float(np.sqrt(covariance[0, 0]))
        found.append(
            Slope(
                figure=figure,
                at_none=float(at_none),
                each_node=float(each_node),
                standard_error=error,
            )
        )
    return tuple(found)
