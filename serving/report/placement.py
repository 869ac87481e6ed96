"""What the placement picture shows: nodes with their models, and the flows between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cluster.demand import Phase
from cluster.topology import Node, Tier, Topology
from planner.plan import Plan
from profiling.profile import Profiles
from serving.report.link_use import PlannedLink
from serving.rollout.stages import target_of
from serving.routing.routes import next_hop

__all__ = ["Flow", "ModelUse", "NodeBox", "Placement", "build_placement"]


@dataclass(frozen=True, slots=True)
class ModelUse:
    """A model a node holds, what it is asked there, and how much of that."""

    name: str
    tasks: tuple[str, ...]
    """tasks routed to it; empty if it is held but not used"""
    qps: float
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class NodeBox:
    """A node with its budgets and what the plan makes of them."""

    name: str
    tier: str
    memory_bytes: int
    memory_used_bytes: int
    compute: float
    compute_used: float
    models: tuple[ModelUse, ...]
    sent_qps: float = 0.0
    """queries that arrive here from users; clients only"""
    answered_qps: float = 0.0
    shed_qps: float = 0.0


@dataclass(frozen=True, slots=True)
class Flow:
    """Queries that travel over a link on their way to the tier that answers them."""

    source: str
    target: str
    tier: str
    qps: float
    share: float
    """of all queries that arrive at `source`; of all queries of the system for an edge"""


@dataclass(frozen=True, slots=True)
class Placement:
    """Everything drawn, columns in file order of the topology."""

    nodes: tuple[NodeBox, ...]
    flows: tuple[Flow, ...]
    task_count: int
    """tasks that are asked for at all"""
    links: tuple[PlannedLink, ...] = ()
    """what the flows use of their links; empty where it is not known"""

    def tier(self, tier: str) -> tuple[NodeBox, ...]:
        """The nodes of one column."""
        return tuple(node for node in self.nodes if node.tier == tier)


def build_placement(
    topology: Topology,
    plan: Plan,
    phase: Phase,
    profiles: Profiles,
    links: Sequence[PlannedLink] = (),
) -> Placement:
    """The placement of `plan` under the mean load of `phase`, with what it uses of `links`."""
    qps: dict[tuple[str, str, str], float] = defaultdict(float)
    up_qps: dict[tuple[str, str | None, str], float] = defaultdict(float)
    asked_qps = phase.asked_qps
    sent_qps = {client: sum(rates.values()) for client, rates in asked_qps.items()}
    routed_qps: dict[str, float] = defaultdict(float)
    for route in plan.routes:
        rate_qps = asked_qps.get(route.client, {}).get(route.task, 0.0) * route.share
        qps[route.node, route.model, route.task] += rate_qps
        routed_qps[route.client] += rate_qps
        if route.tier != "client":
            above = [link.target for link in topology.uplinks(route.client)]
            edge = next_hop(target_of(route), above)
            up_qps[route.client, edge, route.tier] += rate_qps

    def resident(node: str, model: str) -> int:
        profile = profiles.find(node, model)
        return profile.resident_bytes if profile else 0

    boxes = []
    used = plan.predicted.utilization_by_node if plan.predicted else {}
    for node in topology.nodes:
        models = tuple(
            _model_use(node.name, model, qps, resident)
            for model in plan.onloading.get(node.name, ())
        )
        sent = sent_qps.get(node.name, 0.0)
        boxes.append(
            NodeBox(
                name=node.name,
                tier=str(node.tier),
                memory_bytes=int(node.memory),
                memory_used_bytes=sum(model.resident_bytes for model in models),
                compute=node.compute,
                compute_used=used.get(node.name, 0.0),
                models=models,
                sent_qps=sent,
                answered_qps=sum(model.qps for model in models),
                shed_qps=max(0.0, sent - routed_qps[node.name]),
            )
        )
    asked = {t for rates in asked_qps.values() for t, rate in rates.items() if rate > 0}
    flows = tuple(_flows(topology, up_qps, sent_qps))
    return Placement(tuple(boxes), flows, len(asked), tuple(links))


def _model_use(
    node: str,
    model: str,
    qps: dict[tuple[str, str, str], float],
    resident: Callable[[str, str], int],
) -> ModelUse:
    asked = {t: rate for (n, m, t), rate in qps.items() if n == node and m == model and rate > 0}
    busiest_first = tuple(sorted(asked, key=lambda task: -asked[task]))
    return ModelUse(model, busiest_first, sum(asked.values()), resident(node, model))


def _flows(
    topology: Topology,
    up_qps: dict[tuple[str, str | None, str], float],
    sent_qps: dict[str, float],
) -> list[Flow]:
    flows = []
    over_edge_qps: dict[str, float] = defaultdict(float)
    for link in (link for client in topology.clients for link in topology.uplinks(client.name)):
        for tier in ("edge", "cloud"):
            rate_qps = up_qps.get((link.source, link.target, tier), 0.0)
            if rate_qps > 0:
                share = rate_qps / sent_qps[link.source]
                flows.append(Flow(link.source, link.target, tier, rate_qps, share))
            if tier == "cloud":
                over_edge_qps[link.target] += rate_qps
    total_qps = sum(sent_qps.values())
    for edge_node in _edges_with_flow(topology, over_edge_qps):
        rate_qps = over_edge_qps[edge_node.name]
        cloud = topology.cloud.name
        flows.append(Flow(edge_node.name, cloud, str(Tier.CLOUD), rate_qps, rate_qps / total_qps))
    return flows


def _edges_with_flow(topology: Topology, over_edge_qps: dict[str, float]) -> list[Node]:
    return [edge for edge in topology.edges if over_edge_qps[edge.name] > 0]
