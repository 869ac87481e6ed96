"""The latency a plan promises on each path: 2 T_b of the serving node plus the links (F9, F13)."""

from __future__ import annotations

from cluster.topology import Topology

__all__ = ["promised_bounds_s"]


def promised_bounds_s(topology: Topology, client: str, query_bytes: float) -> dict[str, float]:
    """Seconds within which each node on `client`'s path answers its queries, by node name.

    A query that arrives at a node is answered within two of its windows; each hop adds the
    query's transmission time and the round trip.
    """
    bounds: dict[str, float] = {}
    links_s = 0.0
    for node in topology.path_to_cloud(client):
        bounds[node.name] = links_s + 2 * node.window_s
        if node is not topology.cloud:
            link = topology.uplink(node.name)
            links_s += query_bytes / float(link.bandwidth) + link.rtt_s
    return bounds
