"""The network of a cluster in namespaces, on paper: names, addresses and rates.

    host:   bridge 198.18.N.1/24 --- one port a node
    node:   control 198.18.N.2 ... (Ray, doors, metrics; as fast as the host)
            linkK   198.19.x.y/30 (one a link of the topology, paced at both ends)

Control addresses are of a range that RFC 2544 keeps for such benches. N is drawn, so that clusters
of several users are likely to miss each other, and taken only if the host has nothing there. The
links' addresses mean something only between the two namespaces of a link, so every cluster has the
same.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from pathlib import Path

from cluster.document import FrozenModel
from cluster.errors import InputError
from cluster.providers.records import NetnsRecord
from cluster.topology import Topology
from cluster.wiring import LaidLink

__all__ = [
    "CONTROL",
    "Layout",
    "LinkPair",
    "NodeSpace",
    "Shaping",
    "lay_out",
    "shaping_of",
    "spaces_folder",
]

CONTROL = "control"
"""name of a node's interface on the control network"""
CONTROL_RANGE = ipaddress.IPv4Network("198.18.0.0/16")
LINK_RANGE = ipaddress.IPv4Network("198.19.0.0/16")
MOST_NODES = 253

FRAME_BYTES = 1514
"""the longest frame of a link: 1,500 bytes and an Ethernet header"""
SEGMENT_BYTES = 1448
"""what such a frame carries of a TCP stream, whose packets have timestamps"""
HEADROOM = 1.01
BURST_S = 0.001
LEAST_BURST_BYTES = 2 * FRAME_BYTES
QUEUE_S = 1.0
LEAST_QUEUE_BYTES = 256 * 2**10


class Shaping(FrozenModel):
    """A token bucket (`tc tbf`) at one end of a link."""

    rate_bytes_per_s: float
    burst_bytes: int
    queue_bytes: int


def shaping_of(bandwidth_bytes_per_s: float) -> Shaping:
    """What lets `bandwidth_bytes_per_s` of a TCP stream through, and no more.

    The bandwidth of a topology counts bytes of queries; the bucket counts frames, so headers are
    added. A hundredth more is let through than that: the sender's own pacing admits what the link
    carries (F7), and if the bucket were the narrower of the two by a hair, a queue that nobody
    admits by would grow in the kernel under a full load. A burst is what a timer of a millisecond
    needs, so that a query is not carried before its time.
    """
    rate = bandwidth_bytes_per_s * FRAME_BYTES / SEGMENT_BYTES * HEADROOM
    return Shaping(
        rate_bytes_per_s=rate,
        burst_bytes=max(LEAST_BURST_BYTES, round(rate * BURST_S)),
        queue_bytes=max(LEAST_QUEUE_BYTES, round(rate * QUEUE_S)),
    )


class NodeSpace(FrozenModel):
    """A node's namespace."""

    node: str
    path: Path
    """where it is mounted"""
    host: str
    """its address on the control network"""
    port: str
    """the far end of its control interface, on the host"""


class LinkPair(FrozenModel):
    """A link: a pair of interfaces of one name, one in each namespace."""

    interface: str
    source: NodeSpace
    target: NodeSpace
    source_host: str
    target_host: str
    shaping: Shaping


class Layout(FrozenModel):
    """All that is to be made."""

    bridge: str
    head_host: str
    prefix_bits: int
    spaces: tuple[NodeSpace, ...]
    links: tuple[LinkPair, ...]

    @property
    def record(self) -> NetnsRecord:
        """What must be known to take it away again."""
        return NetnsRecord(
            bridge=self.bridge,
            ports=tuple(space.port for space in self.spaces),
            head_host=self.head_host,
            hosts={space.node: space.host for space in self.spaces},
            links=tuple(
                LaidLink(source=link.source.node, target=link.target.node, host=link.target_host)
                for link in self.links
            ),
        )


def spaces_folder(temp_dir: str) -> Path:
    """Where the namespaces of a cluster are mounted."""
    return Path(temp_dir) / "netns"


def lay_out(topology: Topology, mark: str, temp_dir: str, taken: Collection[str]) -> Layout:
    """The network of `topology` for the cluster of `mark`, where `taken` are the host's own
    addresses. Raises `InputError` for a topology with too many nodes."""
    if len(topology.nodes) > MOST_NODES:
        raise InputError(
            f"provider netns holds at most {MOST_NODES} nodes, {topology.name} has "
            f"{len(topology.nodes)}"
        )
    control = _free_network(mark, taken)
    folder = spaces_folder(temp_dir)
    short = f"tb{mark[:6]}"  # the kernel takes 15 characters
    spaces = {
        node.name: NodeSpace(
            node=node.name,
            path=folder / node.name,
            host=str(control[2 + index]),
            port=f"{short}-{index}",
        )
        for index, node in enumerate(topology.nodes)
    }
    pairs = LINK_RANGE.subnets(new_prefix=30)
    links = []
    for index, (link, pair) in enumerate(zip(topology.links, pairs, strict=False)):
        links.append(
            LinkPair(
                interface=f"link{index}",
                source=spaces[link.source],
                target=spaces[link.target],
                source_host=str(pair[1]),
                target_host=str(pair[2]),
                shaping=shaping_of(link.most_bytes_per_s),
            )
        )
    return Layout(
        bridge=short,
        head_host=str(control[1]),
        prefix_bits=control.prefixlen,
        spaces=tuple(spaces.values()),
        links=tuple(links),
    )


def _free_network(mark: str, taken: Collection[str]) -> ipaddress.IPv4Network:
    """A /24 of the range in which none of `taken` lies, where the search begins by `mark`."""
    used = [ipaddress.ip_address(each) for each in taken]
    networks = list(CONTROL_RANGE.subnets(new_prefix=24))
    first = int(mark[:8], 16) % len(networks)
    for network in networks[first:] + networks[:first]:
        if not any(address in network for address in used):
            return network
    raise InputError(f"every network of {CONTROL_RANGE} is in use on this host")
