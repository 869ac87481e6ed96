"""All that a decision depends on, as data: the same input gives the same decision."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from cluster.demand import Phase
from cluster.document import FrozenModel
from planner.passes import without_bundles
from planner.plan import Plan
from planner.policies import DEFAULT
from planner.problem import FloatArray, Problem
from serving.replan.estimate.load_estimate import LoadEstimate
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting

__all__ = ["DecisionInput", "DecisionOptions", "Ground", "ground_of", "without_nodes"]


class DecisionOptions(FrozenModel):
    """How alternatives are made and judged."""

    policy: str = DEFAULT
    fill: float = Field(default=0.6, gt=0, le=1)
    horizon_s: float = Field(
        default=60.0, gt=0, description="within which a move must pay at most (F16)"
    )
    rooms: tuple[float, ...] = Field(
        default=(1.0, 0.75),
        min_length=1,
        description="shares of the links' budgets that alternatives are planned with: less in the "
        "mean leaves more for bursts",
    )
    draws: int = Field(default=24, ge=2, description="loads within the estimate's errors")
    sureness: float = Field(
        default=0.9, ge=0.5, le=1, description="share of these loads under which a change must gain"
    )
    gap: float = Field(default=2e-3, ge=0, lt=1, description="at which a policy may stop")
    solver_limit_s: float = Field(default=3.0, gt=0)
    seed: int = 0


class DecisionInput(FrozenModel):
    """What is known when a decision is made."""

    number: int = Field(ge=1, description="of the decision, over the life of the loop")
    at_s: float = Field(description="seconds since the loop was started")
    estimate: LoadEstimate
    absent: tuple[str, ...] = Field(description="nodes that are planned without")
    shares_only: bool = Field(
        default=False,
        description="between the plan in force and new shares for its models: what can be known "
        "and done at once",
    )
    ratios: dict[str, float] = Field(
        default_factory=dict,
        description="measured / stated bandwidth of links ('source to target') and batch times of "
        "nodes, where plans go by what was measured",
    )
    present: Plan = Field(description="the plan in force")
    options: DecisionOptions


@dataclass(frozen=True, eq=False)
class Ground:
    """What does not change with the load: budgets, whole capacities, and what loading costs."""

    problem: Problem
    """with the budgets that plans keep in the mean"""
    capacity: Problem
    """the same with every link's whole bandwidth: what a burst may take for a moment"""
    load_s: Mapping[str, Mapping[str, float]]
    """node -> model -> seconds from the request to the warm model"""
    spill_over: bool
    """whether a query whose way is full is answered by its own client where that can"""
    routing: RoutingMode = RoutingMode.SHARES
    """how clients choose among their ways"""


def ground_of(
    setting: Setting,
    phase: Phase,
    *,
    spill_over: bool,
    routing: RoutingMode = RoutingMode.SHARES,
    ratios: Mapping[str, float] | None = None,
) -> Ground:
    """The ground of decisions about `phase`, on a `setting` that has the `ratios` that were
    measured. Raises `ProblemError` as `Setting.problem` does."""
    problem, capacity = (
        _without_load(each.problem(phase)) for each in (setting, setting.with_whole_links)
    )
    capacity = _with_slow_devices(capacity, ratios or {})
    return Ground(problem, capacity, setting.load_s, spill_over, routing)


def _with_slow_devices(capacity: Problem, ratios: Mapping[str, float]) -> Problem:
    """Devices that take longer than planned take a larger part of their time for the same queries:
    no budget stops them from that. A plan in force must not be judged as if one did."""

    def part(node: str, compute: float) -> float:
        return max(compute, min(1.0, compute * ratios.get(node, 1.0)))

    def parts(names: tuple[str, ...], compute_n: FloatArray) -> FloatArray:
        return np.array([part(n, float(c)) for n, c in zip(names, compute_n, strict=True)])

    return capacity.changed(
        client_compute_c=parts(capacity.clients, capacity.client_compute_c),
        edge_compute_e=parts(capacity.edges, capacity.edge_compute_e),
        cloud_compute=part(capacity.cloud, capacity.cloud_compute),
    )


def _without_load(problem: Problem) -> Problem:
    """The load is the estimate's; without it problems of different loads are the same."""
    return without_bundles(problem).changed(load_ct=np.zeros_like(problem.load_ct))


def without_nodes(problem: Problem, absent: Collection[str]) -> Problem:
    """`problem` with no way to the absent edges, nor to an absent cloud.

    An absent client changes nothing: its queries do not come, and its routes wait for it.
    """
    gone_e = np.array([edge in absent for edge in problem.edges])
    gone_a = gone_e[problem.edge_of_a]
    if not gone_e.any() and problem.cloud not in absent:
        return problem
    left_c = np.bincount(
        problem.client_of_a, weights=np.where(gone_a, 0.0, 1.0), minlength=len(problem.clients)
    )
    no_backhaul_e = gone_e | (problem.cloud in absent)
    return problem.changed(
        uplink_a=np.where(gone_a, 0.0, problem.uplink_a),
        client_uplink_c=np.where(left_c > 0, problem.client_uplink_c, 0.0),
        edge_uplink_e=np.where(no_backhaul_e, 0.0, problem.edge_uplink_e),
    )
