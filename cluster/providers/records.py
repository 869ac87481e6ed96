"""What each provider writes down of a cluster before it makes anything, so that `down` finds it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from cluster.document import FrozenModel
from cluster.provider_choice import kind_in
from cluster.wiring import LaidLink, Wiring

__all__ = ["LocalRecord", "NetnsRecord", "ProviderRecord"]


class LocalRecord(FrozenModel):
    """All nodes on one Ray node of this host: processes and a folder are all there is."""

    kind: Literal["local"] = "local"

    @property
    def wiring(self) -> Wiring:
        """Nodes find each other on loopback."""
        return Wiring()


class NetnsRecord(FrozenModel):
    """A namespace a node, a bridge, and a pair of interfaces for each link and each node."""

    kind: Literal["netns"] = "netns"
    bridge: str
    """of the control network, on the host"""
    ports: tuple[str, ...]
    """of the bridge, also on the host: the near ends of the nodes' control interfaces"""
    head_host: str
    """the host's own address on the control network"""
    hosts: dict[str, str]
    """by node, its address on the control network"""
    links: tuple[LaidLink, ...]
    pids: dict[str, int] = Field(default_factory=dict)
    """by node, the process that runs its Ray node"""

    @property
    def wiring(self) -> Wiring:
        """Every link has been laid; the control network ends at this host."""
        return Wiring(hosts=(self.head_host, *self.hosts.values()), links=self.links)


ProviderRecord = Annotated[
    Annotated[LocalRecord, Tag("local")] | Annotated[NetnsRecord, Tag("netns")],
    Discriminator(kind_in),
]
