"""Clusters of null nodes as `testbed scale` might have measured them."""

from __future__ import annotations

from serving.scale.result import MemoryFigures, ScaleRow

__all__ = ["row_of"]

MIB = 2**20


def row_of(nodes: int) -> ScaleRow:
    """One whose launch takes 1 s and 2 s a node, and whose processes take 250 MiB a node."""
    each = MemoryFigures(median_bytes=250 * MIB, most_bytes=260 * MIB)
    return ScaleRow(
        nodes=nodes,
        clients=nodes - 2,
        edges=1,
        up_s=5.0,
        launch_s=1.0 + 2.0 * nodes,
        first_plan_s=0.1 * nodes,
        distribution_s=0.01 * nodes,
        slowest_distribution_s=0.02 * nodes,
        changes=5,
        answered=nodes - 2,
        answer_s=0.06,
        down_s=3.0,
        node_resident=each,
        node_proportional=each,
        ray_bytes=500 * MIB,
        cluster_bytes=250 * MIB * nodes,
    )
