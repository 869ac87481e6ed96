"""How the nodes of a running cluster reach each other, as far as its provider has settled it."""

from __future__ import annotations

from cluster.document import FrozenModel
from cluster.topology import Link

__all__ = ["LaidLink", "Wiring"]


class LaidLink(FrozenModel):
    """A link of the topology that the provider has laid: bytes between its ends cross nothing
    else, and no more of them in a second than the topology says."""

    source: str
    target: str
    host: str
    """where `target` listens for `source`"""


class Wiring(FrozenModel):
    """What nodes must know of the network under them."""

    hosts: tuple[str, ...] = ()
    """addresses of the cluster's own, beside loopback"""
    links: tuple[LaidLink, ...] = ()
    """those that the provider has laid; the nodes hold the bandwidth of all others themselves"""
    private: bool = True
    """whether only this machine reaches the nodes, whose doors then need no token"""
    folder: str = ""
    """where processes of nodes on other hosts keep their files there; empty where all are on this
    host, and this user's own folders are theirs"""

    def laid(self, link: Link) -> bool:
        """Whether the network itself holds the bandwidth of `link`."""
        return any((each.source, each.target) == (link.source, link.target) for each in self.links)

    def hosts_below(self, node: str) -> dict[str, str]:
        """Where `node` listens for each of the nodes below it to which a link was laid."""
        return {each.source: each.host for each in self.links if each.target == node}
