"""What a provider does, and which there are.

A provider sees to a Ray cluster with a place for each node of the topology, most by one unit of the
resource `testbed-NODE`, and takes down what it brought up. Nothing above `cluster/` asks which
one did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from cluster.errors import UnknownNameError
from cluster.provider_choice import PROVIDERS, AnyChoice
from cluster.providers.state import ClusterState
from cluster.topology import Topology

__all__ = ["Bringing", "NodePlace", "Provider", "Say", "provider_of"]

Say = Callable[[str], None]


@dataclass(frozen=True)
class NodePlace:
    """Where a node of a cluster is."""

    node: str
    host: str
    """the address of its Ray node"""
    running: bool
    """whether that Ray node runs"""


@dataclass(frozen=True)
class Bringing:
    """What `up` was asked for."""

    topology: Topology
    choice: AnyChoice
    """of this provider's kind"""
    port: int | None
    """of Ray's head, if one is started; None for a free one"""
    say: Say


class Provider(Protocol):
    """A way to bring a cluster up and to take it down."""

    def check(self, topology: Topology, choice: AnyChoice) -> None:
        """Raise `InputError` or `ClusterError` unless such a cluster can be brought up from here.
        Touches nothing."""
        ...

    def up(self, asked: Bringing) -> ClusterState:
        """Bring the cluster up and record it, before there is anything to be taken down.

        What fails or is interrupted on the way leaves nothing. Raises `ClusterError`.
        """
        ...

    def down(self, state: ClusterState, say: Say) -> None:
        """End and remove all that `state` records, whatever of it is there. The record stays."""
        ...

    def status(self, state: ClusterState) -> tuple[NodePlace, ...]:
        """Where every node of the topology is, in its order."""
        ...

    def logs(self, state: ClusterState, node: str) -> tuple[Path, ...]:
        """The files in which Ray itself says what became of it where `node` is, the one to be read
        first in front. Raises `ClusterError` where they are not on this machine."""
        ...

    def exec(self, state: ClusterState, node: str, command: Sequence[str]) -> int:
        """Run `command` where `node` is, with this process's terminal; returns its exit status.
        Raises `ClusterError` if it cannot be run."""
        ...


def provider_of(kind: str) -> Provider:
    """The provider of that name. Raises `UnknownNameError`.

    Each is the module of its name here, imported only when it is asked for: some need more than
    others.
    """
    if kind not in PROVIDERS:
        raise UnknownNameError(f"no provider {kind!r}; providers: {', '.join(PROVIDERS)}")
    return cast(Provider, import_module(f"cluster.providers.{kind}").PROVIDER)
