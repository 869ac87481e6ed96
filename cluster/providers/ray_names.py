"""What the testbed calls its things on a Ray cluster, which may have others beside them, and where
on it a node's processes are placed."""

from __future__ import annotations

from typing import Any

from cluster.provider_choice import AttachChoice
from cluster.topology import Topology

__all__ = ["ASSIGNMENTS", "NAMESPACE", "application_of", "labels_of", "placed_at", "resource_of"]

NAMESPACE = "testbed"
"""of the testbed's own actors"""
ASSIGNMENTS = "testbed-assignments"
"""the actor that keeps what each node was last told"""


def resource_of(node: str) -> str:
    """The custom Ray resource that stands for a node; a cluster offers one unit of each."""
    return f"testbed-{node}"


def application_of(node: str) -> str:
    """The Serve application that is a node."""
    return f"testbed-{node}"


def labels_of(topology: Topology, node: str) -> dict[str, str]:
    """Labels of the Ray node that `node` is placed on; none where its resource says it."""
    block = topology.provider
    return block.match.get(node, {}) if isinstance(block, AttachChoice) else {}


def placed_at(topology: Topology, node: str, share: float) -> dict[str, Any]:
    """Ray's options for a process of `node`, which takes that share of the node's resource."""
    labels = labels_of(topology, node)
    return {"label_selector": labels} if labels else {"resources": {resource_of(node): share}}
