"""Whether a larger cluster fits in this machine's memory."""

from __future__ import annotations

from collections.abc import Sequence

from serving.scale.result import ScaleRow

__all__ = ["refusal_of"]

FIRST_NODE_BYTES = 256 * 2**20
"""resident memory of a null node's process, with what Ray's own take, before any was measured"""
RESERVE = 1.2
"""times as much as is expected, which must be free"""


def refusal_of(nodes: int, free_bytes: int, rows: Sequence[ScaleRow]) -> str | None:
    """Why a cluster of `nodes` is not tried with `free_bytes` to spare; None if it fits by what
    `rows` of smaller ones took."""
    each_bytes = rows[-1].cluster_bytes / rows[-1].nodes if rows else FIRST_NODE_BYTES
    wanted_bytes = RESERVE * nodes * each_bytes
    if wanted_bytes <= free_bytes:
        return None
    known = f"as {rows[-1].nodes} took" if rows else "as a process with Ray takes"
    return (
        f"{nodes} nodes would take about {wanted_bytes / 2**30:.1f} GiB "
        f"({each_bytes / 2**20:.0f} MiB each, {known}, and a fifth in reserve), and "
        f"{free_bytes / 2**30:.1f} GiB are free"
    )
