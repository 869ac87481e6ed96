"""S8: how many queries a second the planner lets an edge with windows of T_b take (F11).

The smallest hierarchy: a client that can hold nothing, an edge, a cloud behind no bandwidth, so
whatever is served is served in the edge's windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import ByteSize

from cluster.demand import Phase
from cluster.provenance import collect_provenance
from cluster.topology import Batching, Link, Node, Topology
from models.runtime.model_runtime import ModelRuntime
from planner.latency_bound import latency_bounds_s
from planner.plan import plan_of
from planner.policies import Options, solve
from profiling.measure import measure_model, profile_of
from profiling.profile import Profiles
from serving.setting.setting import Setting

__all__ = ["OVERRUN", "WINDOW_S", "WindowPlan", "plan_window"]

WINDOW_S = 0.1
OVERRUN = 0.05
COMPUTE = 0.6
"""beta of the edge: the rest of its core runs the link's socket, and pays for a neighbour that is
busier than when the model was profiled"""


@dataclass(frozen=True)
class WindowPlan:
    """The load that was planned, and the latency that it was promised."""

    rate_qps: float
    bound_s: float


def topology(batching: Batching, max_batch: int) -> Topology:
    """The hierarchy, its edge with the batching policy `batching`."""

    def node(name: str, tier: str, compute: float, **more: object) -> Node:
        return Node.model_validate(
            {"name": name, "tier": tier, "memory": 2**30, "compute": compute}
            | {"window_s": WINDOW_S, "max_batch": max_batch}
            | more
        )

    nodes = (
        node("client", "client", 0.01, memory=2**10),
        node("edge", "edge", COMPUTE, batching=batching),
        node("cloud", "cloud", 0.01),
    )
    links = (
        Link(source="client", target="edge", bandwidth=ByteSize(125_000_000)),
        Link(source="edge", target="cloud", bandwidth=ByteSize(1)),
    )
    return Topology(schema_version=1, name="windows", nodes=nodes, links=links)


def plan_window(runtime: ModelRuntime, images: np.ndarray, max_batch: int) -> WindowPlan:
    """Profile `runtime` on the core this runs on, and plan more load than its edge can take."""
    shape = topology(Batching.WINDOW, max_batch)
    measured = measure_model(
        runtime, images, model=runtime.card.name, device="cpu", max_batches=[max_batch], load_s=0.0
    )  # fmt: skip
    profiles = Profiles(
        schema_version=1,
        topology=shape.name,
        provenance=collect_provenance("make bench-serving"),
        profiles=tuple(
            profile_of(measured, node=node.name, measured_on="edge", max_batch=max_batch)
            for node in shape.nodes
        ),
    )
    setting = Setting(shape, (runtime.card,), profiles)
    task = runtime.card.tasks[0]
    demanded_qps = 2.0 / profiles.profiles[0].marginal_s
    problem = setting.problem(Phase(duration_s=1, rates_qps={"client": {task: demanded_qps}}))
    solution = solve(problem, "baj3o", Options(overrun=OVERRUN))
    routes = plan_of(problem, solution.allocation, policy="baj3o").routes
    share = sum(route.share for route in routes if route.tier == "edge")
    bounds_s = latency_bounds_s(shape, "client", setting.largest_query_bytes)
    return WindowPlan(rate_qps=share * demanded_qps, bound_s=bounds_s["edge"])
