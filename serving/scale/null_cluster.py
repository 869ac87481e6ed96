"""A hierarchy of null nodes of any size, and two plans for it that differ in their routes alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import ByteSize

from cluster.demand import Phase
from cluster.devices import NOTHING, EmulatedDevice
from cluster.link import Link
from cluster.topology import Node, Tier, Topology
from models.zoo.cards import ModelCard
from models.zoo.inputs import input_of
from models.zoo.registry import list_models
from planner.allocation import Allocation
from planner.plan import Plan, plan_of
from profiling.null_profiles import null_profiles
from serving.setting.setting import Setting

__all__ = ["BENCHMARK", "FEWEST_NODES", "TASK", "NullCluster", "make_null_cluster"]

BENCHMARK, TASK = "rooms", "depth"
FEWEST_NODES = 3
"""a client, an edge, the cloud"""
BELOW_AN_EDGE = 4
"""clients, more or less"""
DEVICES = {
    Tier.CLIENT: "dragonwing-rb3-gen2-cpu",
    Tier.EDGE: "jetson-agx-xavier",
    Tier.CLOUD: "a100-40gb",
}
LOAD_QPS = 0.5
"""of each client"""
SHARES = (0.25, 0.5)
"""of each client's queries that it answers itself, by plan; its edge answers the others"""


@dataclass(frozen=True)
class NullCluster:
    """Null nodes, what they cost, and what they are to do."""

    setting: Setting
    phase: Phase
    plans: tuple[Plan, Plan]
    """which hold the same models, and route differently"""

    @property
    def topology(self) -> Topology:
        """The nodes and their links."""
        return self.setting.topology

    @property
    def picture(self) -> NDArray[np.uint8]:
        """One as its clients take them."""
        taken = input_of(self.setting.cards, self.setting.base_tasks)
        return np.zeros((taken.height, taken.width, 3), np.uint8)


def make_null_cluster(nodes: int, command: str) -> NullCluster:
    """One of so many nodes. `command` stands in the provenance of its profiles. Raises `ValueError`
    for fewer than `FEWEST_NODES`."""
    topology = _topology(nodes)
    cards = list_models(BENCHMARK)
    setting = Setting(topology, cards, null_profiles(topology, cards, command))
    load = {TASK: LOAD_QPS}
    phase = Phase(duration_s=1.0, rates_qps={node.name: load for node in topology.clients})
    first, second = (_plan(setting, phase, share) for share in SHARES)
    return NullCluster(setting, phase, (first, second))


def _topology(nodes: int) -> Topology:
    if nodes < FEWEST_NODES:
        raise ValueError(f"a hierarchy has at least {FEWEST_NODES} nodes, got {nodes}")
    edges = max(1, round((nodes - 1) / (BELOW_AN_EDGE + 1)))
    clients = nodes - 1 - edges
    below = [_link(f"client-{k}", f"edge-{k % edges}") for k in range(clients)]
    above = [_link(f"edge-{k}", "cloud") for k in range(edges)]
    return Topology(
        name=f"null-{nodes}",
        nodes=(
            *(_node(f"client-{k}", Tier.CLIENT) for k in range(clients)),
            *(_node(f"edge-{k}", Tier.EDGE) for k in range(edges)),
            _node("cloud", Tier.CLOUD),
        ),
        links=(*below, *above),
    )


def _link(source: str, target: str) -> Link:
    return Link(source=source, target=target, bandwidth=ByteSize(1_000_000), rtt_s=0.004)


def _node(name: str, tier: Tier) -> Node:
    return Node(
        name=name,
        tier=tier,
        device=EmulatedDevice(emulate=DEVICES[tier], on=NOTHING),
        memory=ByteSize(2**30),
        compute=0.8,
        window_s=0.4,
        max_batch=2 if tier is Tier.CLIENT else 16,
    )


def _plan(setting: Setting, phase: Phase, share: float) -> Plan:
    """Each client answers that share by the smallest model, its edge the others by the best."""
    problem = setting.problem(phase)
    serving = [card for card in setting.cards if TASK in card.tasks]
    small = problem.models.index(min(serving, key=lambda card: card.parameters).name)
    best = problem.models.index(max(serving, key=_accuracy).name)
    task = problem.tasks.index(TASK)
    routed = Allocation.empty(problem)
    routed.onloaded_cm[:, small] = True
    routed.onloaded_em[:, best] = True
    routed.local_ctm[:, task, small] = share
    routed.edge_atm[np.arange(len(problem.client_of_a)), task, best] = 1 - share
    return plan_of(problem, routed, policy="scale")


def _accuracy(card: ModelCard) -> float:
    return card.accuracy(TASK)
