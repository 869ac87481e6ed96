"""What each node of a topology is told when it is started, whoever starts it."""

from __future__ import annotations

from cluster.topology import Topology
from cluster.wiring import Wiring
from planner.latency_bound import latency_bounds_s
from profiling.emulation import emulated_profiles
from profiling.profile import Profiles
from serving.node.config import NodeConfig
from serving.tracing.config import TracingConfig

__all__ = ["node_configs"]


def node_configs(
    topology: Topology,
    tasks: tuple[str, ...],
    query_bytes: float,
    token: str,
    wiring: Wiring,
    profiles: Profiles | None = None,
    *,
    shared_passes: bool = True,
    spill_over: bool = True,
    tracing: TracingConfig | None = None,
) -> tuple[NodeConfig, ...]:
    """One a node, in the order of the topology. Raises `InputError` where `profiles` have none of a
    node that emulates a device, and `DocumentError` for a link's trace that cannot be read."""
    emulated = emulated_profiles(topology, profiles)
    topology = topology.with_traces_read()
    return tuple(
        NodeConfig(
            node=node,
            uplinks=topology.uplinks(node.name),
            tasks=tasks,
            token=token,
            bounds_s=latency_bounds_s(topology, node.name, query_bytes),
            shared_passes=shared_passes,
            spill_over=spill_over,
            emulated=emulated.get(node.name, {}),
            tracing=tracing,
            link_hosts=wiring.hosts_below(node.name),
            laid=frozenset(
                link.target for link in topology.uplinks(node.name) if wiring.laid(link)
            ),
            private=wiring.private,
        )
        for node in topology.nodes
    )
