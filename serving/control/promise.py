"""The latency a plan promises on each path: 2 T_b of the serving node plus the links (F9, F13)."""

from __future__ import annotations

from cluster.topology import Topology

__all__ = ["promised_bounds_s"]


def promised_bounds_s(topology: Topology, client: str, query_bytes: float) -> dict[str, float]:
    """Seconds within which each node that `client` reaches answers its queries, by node name.

    A query that arrives at a node is answered within two of its windows; each hop adds the
    query's transmission time and the round trip. Of several ways to a node the slowest counts.
    """
    bounds: dict[str, float] = {}

    def climb(name: str, links_s: float) -> None:
        bound_s = links_s + 2 * topology.node(name).window_s
        bounds[name] = max(bound_s, bounds.get(name, 0.0))
        for link in topology.uplinks(name):
            climb(link.target, links_s + query_bytes / float(link.bandwidth) + link.rtt_s)

    climb(client, 0.0)
    return bounds
