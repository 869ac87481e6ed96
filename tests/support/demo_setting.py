"""The demo's topology and the zoo of rooms, with made-up costs: a setting without a cluster."""

from __future__ import annotations

from cluster.demand import Demand, Phase
from cluster.provenance import Provenance
from cluster.specs import SPECS
from cluster.topology import Topology
from models.zoo.cards import ModelCard
from models.zoo.registry import list_models
from planner.plan import Plan
from planner.policies import Options, solve
from profiling.profile import BatchLatency, ModelProfile, Profiles
from serving.setting.setting import Setting

__all__ = ["demo_demand", "demo_profiles", "demo_setting", "planned_demo"]

COSTS_S = {"small": (0.002, 0.003), "middle": (0.004, 0.008), "large": (0.010, 0.018)}
"""Set-up and marginal seconds by size class: about what two cores take."""
PROVENANCE = Provenance(
    created_at="2026-01-01T00:00:00+00:00",
    command="testbed profile",
    commit="0123456789ab",
    host="made up",
    processor="none",
    cores=2,
    versions={},
)


def demo_setting() -> Setting:
    topology = Topology.load(SPECS / "demo.yaml")
    cards = list_models("rooms")
    return Setting(topology, cards, demo_profiles(topology, cards))


def demo_demand() -> Demand:
    return Demand.load(SPECS / "demo-demand.yaml")


def planned_demo(policy: str = "baj3o") -> tuple[Setting, Plan, Phase]:
    """With a plan for the first phase of the demo's demand, which says so, and that phase."""
    setting, phase = demo_setting(), demo_demand().phases[0]
    plan = solve(setting.problem(phase), policy, Options(gap=0.05)).plan
    load = {"load_qps": phase.rates_qps, "bundles": phase.bundles}
    return setting, plan.model_copy(update=load), phase


def demo_profiles(topology: Topology, cards: tuple[ModelCard, ...]) -> Profiles:
    return Profiles(
        topology=topology.name,
        provenance=PROVENANCE,
        profiles=tuple(
            _profile(node.name, card) for node in topology.nodes for card in cards
        ),
    )  # fmt: skip


def _profile(node: str, card: ModelCard) -> ModelProfile:
    setup_s, marginal_s = COSTS_S[card.size_class]
    return ModelProfile(
        model=card.name,
        node=node,
        measured_on=node,
        latency=tuple(
            BatchLatency(batch=b, p50_s=setup_s + b * marginal_s, p95_s=0.1, runs=9)
            for b in (1, 2, 4, 8, 16)
        ),
        setup_s=setup_s,
        marginal_s=marginal_s,
        residual=0.0,
        weights_bytes=4 * card.parameters,
        workspace_bytes=2**20,
        load_s=0.2,
    )
