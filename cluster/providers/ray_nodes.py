"""Which Ray node of a cluster each node of a topology is placed on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cluster.providers import ray_private
from cluster.providers.ray_names import labels_of, resource_of
from cluster.providers.state import ClusterError
from cluster.topology import Topology

__all__ = ["RayNodeSeen", "place_nodes", "see_nodes"]


@dataclass(frozen=True)
class RayNodeSeen:
    """A Ray node that runs."""

    id: str
    host: str
    """its address"""
    resources: Mapping[str, float]
    labels: Mapping[str, str]

    def has(self, labels: Mapping[str, str]) -> bool:
        """Whether it has all these labels."""
        return labels.items() <= self.labels.items()


def see_nodes(address: str) -> tuple[RayNodeSeen, ...]:
    """The Ray nodes that run in the cluster whose head is at `address`."""
    return tuple(
        RayNodeSeen(
            row["NodeID"], row["NodeManagerAddress"], row.get("Resources", {}),
            row.get("Labels", {}),
        )
        for row in ray_private.node_table(address)
        if row["Alive"]
    )  # fmt: skip


def place_nodes(topology: Topology, seen: Sequence[RayNodeSeen]) -> dict[str, RayNodeSeen]:
    """node -> the Ray node that has its labels, or else its resource.

    Raises `ClusterError` with all nodes for which there is none, or more than one.
    """
    found: dict[str, RayNodeSeen] = {}
    missing: list[str] = []
    for node in topology.nodes:
        labels = labels_of(topology, node.name)
        if labels:
            wanted = "labels " + ", ".join(f"{key}={value}" for key, value in labels.items())
            fitting = [each for each in seen if each.has(labels)]
        else:
            wanted = f"resource {resource_of(node.name)}"
            fitting = [each for each in seen if each.resources.get(resource_of(node.name), 0) >= 1]
        if len(fitting) == 1:
            found[node.name] = fitting[0]
        else:
            whose = ", ".join(sorted(each.host for each in fitting)) or "no Ray node"
            missing.append(f"{node.name}: {whose} has {wanted}")
    if missing:
        raise ClusterError(
            f"of {len(seen)} Ray nodes that run, exactly one must have what each node asks for; "
            f"{'; '.join(missing)}; start them with --resources='{{\"testbed-NODE\": 1}}', or name "
            "labels in the topology's `provider: match:`"
        )
    return found
