"""Where a client's queries may go when their own way is full or gone: its refuges, by task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cluster.topology import Topology
from planner.plan import Plan
from serving.rollout.ways_in_time import InTime
from serving.routing.routes import RoutingMode, Target

__all__ = ["FIXED_SHARES", "Accuracy", "QueueRouting", "Refuges", "refuges_of"]

Accuracy = Mapping[str, Mapping[str, float]]
"""model -> task -> a_mt, only of the tasks that the model serves"""
Refuges = Mapping[str, tuple[Target, ...]]
"""task -> targets, the most accurate first"""


@dataclass(frozen=True)
class QueueRouting:
    """How clients choose among their ways, and the accuracies by which they weigh them."""

    routing: RoutingMode = RoutingMode.SHARES
    accuracy: Accuracy = field(default_factory=dict)

    @classmethod
    def of(cls, routing: RoutingMode, accuracy: Accuracy) -> QueueRouting:
        """Accuracies are sent to the clients only where they are asked for."""
        return cls(routing, accuracy if routing is RoutingMode.PENALTY else {})


FIXED_SHARES = QueueRouting()


def refuges_of(
    topology: Topology, plan: Plan, accuracy: Accuracy, in_time: InTime | None = None
) -> dict[str, Refuges]:
    """client -> its refuges under `plan`: every model that a node in its reach holds, for every
    task that the model serves, as far as that way is `in_time`. Of equally accurate ones the
    nearest comes first.

    For example a client that holds a small model, under an edge that holds a large one, has for
    their task (the edge's, its own): what finds the edge full is answered at home.
    """
    return {
        client.name: _refuges(
            list(_reached(topology, plan, client.name)), accuracy, client.name, in_time
        )
        for client in topology.clients
    }


def _refuges(
    reached: list[Target], accuracy: Accuracy, client: str, in_time: InTime | None
) -> Refuges:
    found: dict[str, list[tuple[float, Target]]] = {}
    for target in reached:
        for task, value in accuracy.get(target.model, {}).items():
            if in_time is None or in_time(client, target, task):
                found.setdefault(task, []).append((value, target))
    return {
        task: tuple(target for _, target in sorted(entries, key=lambda entry: -entry[0]))
        for task, entries in found.items()
    }


def _reached(topology: Topology, plan: Plan, client: str) -> Iterator[Target]:
    """Every model in reach of `client`, tier by tier from below."""

    def held(name: str, via: str = "") -> Iterator[Target]:
        tier = str(topology.node(name).tier)
        return (Target(tier, name, model, via) for model in plan.onloading.get(name, ()))

    edges = [link.target for link in topology.uplinks(client)]
    yield from held(client)
    for edge in edges:
        yield from held(edge)
    for edge in edges:
        for link in topology.uplinks(edge):
            yield from held(link.target, edge if len(edges) > 1 else "")
