"""What each node was last told, kept outside the nodes: a restarted replica takes it up again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray

from serving.routing.routes import RouteTable

__all__ = ["Assignment", "DoorPorts", "find_assignments", "open_assignments"]

NAME, NAMESPACE = "testbed-assignments", "testbed"


@dataclass(frozen=True)
class Assignment:
    """A node's share of the plan in force."""

    version: int
    models: tuple[str, ...]
    table: RouteTable | None
    """routes, for client nodes"""


@dataclass(frozen=True)
class DoorPorts:
    """Where a node listens for callers; a node without doors is only scraped, over HTTP."""

    http: int
    grpc: int = 0


class _AssignmentStore:
    """The actor: a dictionary that outlives replicas."""

    def __init__(self) -> None:
        self._assignments: dict[str, Assignment] = {}
        self._ports: dict[str, DoorPorts] = {}

    def assign(self, assignments: Mapping[str, Assignment]) -> None:
        """Replace what the named nodes are told."""
        self._assignments.update(assignments)

    def assignment(self, node: str) -> Assignment | None:
        """What `node` was last told."""
        return self._assignments.get(node)

    def claim_ports(self, node: str, ports: DoorPorts) -> None:
        """Remember where the node listens."""
        self._ports[node] = ports

    def ports(self, node: str) -> DoorPorts | None:
        """Where the node listened before, if it ran before."""
        return self._ports.get(node)


def open_assignments() -> Any:
    """Handle of the cluster's store of assignments, which is started if there is none."""
    actor = ray.remote(num_cpus=0)(_AssignmentStore)
    return actor.options(
        name=NAME, namespace=NAMESPACE, lifetime="detached", get_if_exists=True, max_restarts=-1
    ).remote()


def find_assignments() -> Any:
    """Handle of the running store. Raises `ValueError` if there is none."""
    return ray.get_actor(NAME, namespace=NAMESPACE)
