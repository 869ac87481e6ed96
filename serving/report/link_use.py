"""What the plan sends up each link, against the link's budget (F7)."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.topology import Topology, link_name
from planner.attachments import by_edge
from planner.passes import work_of
from planner.plan import Plan, allocation_of
from planner.problem import Problem

__all__ = ["PlannedLink", "link_uses"]

_FULL = 0.999


@dataclass(frozen=True, slots=True)
class PlannedLink:
    """A link of the topology: bytes a second that the plan sends up it in the mean, and may."""

    source: str
    target: str
    planned_bytes_per_s: float
    budget_bytes_per_s: float

    @property
    def name(self) -> str:
        """As measurements name it."""
        return link_name(self.source, self.target)

    @property
    def share(self) -> float:
        """Of the budget; above 1 where the plan breaks it."""
        return self.planned_bytes_per_s / self.budget_bytes_per_s

    @property
    def full(self) -> bool:
        """Whether nothing more fits."""
        return self.share >= _FULL


def link_uses(topology: Topology, problem: Problem, plan: Plan) -> tuple[PlannedLink, ...]:
    """Every link of `topology`, those of clients first. Raises `PlanError` for a plan that names
    what `problem` does not have."""
    work = work_of(problem, allocation_of(problem, plan))
    ends = zip(problem.client_of_a, problem.edge_of_a, work.up_bytes_a, strict=True)
    planned = {(problem.clients[c], problem.edges[e]): float(sent) for c, e, sent in ends}
    backhaul_e = by_edge(problem, work.backhaul_bytes_a)
    planned |= {
        (edge, problem.cloud): float(sent)
        for edge, sent in zip(problem.edges, backhaul_e, strict=True)
    }
    sources = (*topology.clients, *topology.edges)
    return tuple(
        PlannedLink(
            link.source,
            link.target,
            planned.get((link.source, link.target), 0.0),
            link.budget_bytes_per_s,
        )
        for node in sources
        for link in topology.uplinks(node.name)
    )
