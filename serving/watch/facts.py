"""What stays while a system is watched: its nodes and links, its models, and what they cost."""

from __future__ import annotations

from pydantic import Field

from cluster.document import FrozenModel
from cluster.topology import Topology
from planner.latency_bound import latency_bounds_s
from serving.setting.setting import Setting

__all__ = ["WatchFacts", "facts_of"]


class WatchFacts(FrozenModel):
    """All that samples and plans are read with. Neither zoo nor profiles are needed beside it."""

    topology: Topology
    tasks: tuple[str, ...]
    accuracy: dict[str, dict[str, float]] = Field(description="model -> task -> a_mt")
    resident_bytes: dict[str, dict[str, int]] = Field(description="node -> model -> bytes")
    query_bytes: float = Field(gt=0, description="of the largest query")
    bounds_s: dict[str, dict[str, float]] = Field(
        description="client -> node that answers -> promised latency"
    )


def facts_of(setting: Setting) -> WatchFacts:
    """What is known of a system before it is looked at."""
    topology, query_bytes = setting.topology, setting.largest_query_bytes
    resident: dict[str, dict[str, int]] = {}
    for (node, model), size in sorted(setting.model_bytes.items()):
        resident.setdefault(node, {})[model] = size
    return WatchFacts(
        topology=topology,
        tasks=setting.tasks,
        accuracy=setting.accuracy,
        resident_bytes=resident,
        query_bytes=query_bytes,
        bounds_s={
            client.name: latency_bounds_s(topology, client.name, query_bytes)
            for client in topology.clients
        },
    )
