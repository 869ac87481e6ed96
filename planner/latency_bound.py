"""The latency that is promised of an answer: links, and 2 T_b of the node that serves (F9, F13).

A query waits at most one window until its window closes, and the window's work is done within the
next one: 2 T_b. Each hop on the way adds its round trip and the time that the query's bytes take.
The planner closes paths by this bound (`planner.paths`), nodes admit queries by it
(`serving.node.device.batching`), doors and reports state it: all of them from here.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cluster.topology import Topology

__all__ = ["latency_bounds_s", "link_s", "window_bound_s"]

WINDOWS = 2
"""that pass at most between a query's arrival at a node and its answer"""
Seconds = TypeVar("Seconds", float, NDArray[np.float64])


def window_bound_s(window_s: Seconds) -> Seconds:
    """Seconds within which a node with windows of `window_s` answers what it admits (F9)."""
    return WINDOWS * window_s


def link_s(
    query_bytes: NDArray[np.float64] | float,
    bandwidth_bytes_per_s: NDArray[np.float64] | float,
    rtt_s: NDArray[np.float64] | float,
) -> NDArray[np.float64]:
    """Seconds that a link adds to a query; arguments broadcast against each other.

    The round trip and the bytes' transmission: inf on a link without bandwidth, the round trip
    alone for a query without bytes.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        transmission_s = np.divide(query_bytes, bandwidth_bytes_per_s)
    return np.asarray(rtt_s + np.where(np.asarray(query_bytes) > 0, transmission_s, 0.0))


def latency_bounds_s(topology: Topology, client: str, query_bytes: float) -> dict[str, float]:
    """Seconds within which each node that `client` reaches answers its queries, by node name.

    Of several ways to a node the slowest counts.
    """
    bounds_s: dict[str, float] = {}

    def climb(name: str, links_s: float) -> None:
        bound_s = links_s + window_bound_s(topology.node(name).window_s)
        bounds_s[name] = max(bound_s, bounds_s.get(name, 0.0))
        for link in topology.uplinks(name):
            hop_s = float(link_s(query_bytes, link.bytes_per_s, link.slowest_rtt_s))
            climb(link.target, links_s + hop_s)

    climb(client, 0.0)
    return bounds_s
