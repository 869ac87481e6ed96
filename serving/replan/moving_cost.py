"""What a change of plan costs: right answers that are lost while models are loaded (F16).

A node loads its models one after another, and is taken to answer nothing meanwhile. Before a
crowded node loads, routes turn, and the last query of the old ones has its answer: that takes time
as well, but loses nothing.

Axis letters: c client, e edge, a attachment, m model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from planner.allocation import Allocation
from planner.attachments import by_edge
from planner.evaluate import right_qps
from planner.latency_bound import window_bound_s
from planner.moving import Moving
from planner.plan import Plan
from planner.problem import FloatArray, Problem
from serving.replan.queue_value import QueueRoutedPlan
from serving.replan.scenarios import Moments

__all__ = ["LoadingLoss", "MovingCost", "lost_by_queues", "lost_by_shares"]


@dataclass(frozen=True)
class MovingCost:
    """What it takes to get from one plan to another."""

    loads: Mapping[str, tuple[str, ...]]
    """node -> models that it does not hold yet"""
    delay_s: float
    """until the new routes are followed; nodes load side by side"""
    right_answers: float
    """lost meanwhile"""


@dataclass(frozen=True)
class LoadingLoss:
    """What loading costs on each node, whichever models are loaded."""

    qps: Mapping[str, float]
    """node -> right answers/s that it gives now, and would not give while it loads"""
    load_s: Mapping[str, Mapping[str, float]]
    """node -> model -> seconds to load it; one that is not there takes none"""
    drain_s: float
    """until the last query of the old routes has its answer"""

    @classmethod
    def of(
        cls, problem: Problem, qps: Mapping[str, float], load_s: Mapping[str, Mapping[str, float]]
    ) -> LoadingLoss:
        """On the nodes of `problem`, whose queries take two of the largest windows (F13)."""
        return cls(qps, load_s, window_bound_s(float(problem.window_e.max())))

    def cost(self, present: Plan, wanted: Plan) -> MovingCost:
        """The cost of a change from `present` to `wanted`."""
        loads = {
            node: tuple(sorted(set(models) - set(present.onloading.get(node, ()))))
            for node, models in wanted.onloading.items()
        }
        loads = {node: models for node, models in loads.items() if models}
        spent_s = {node: self._loading_s(node, models) for node, models in loads.items()}
        return MovingCost(
            loads=loads,
            delay_s=self.drain_s + max(spent_s.values()) if any(spent_s.values()) else 0.0,
            right_answers=sum(self.qps.get(node, 0.0) * s for node, s in spent_s.items()),
        )

    def _loading_s(self, node: str, models: tuple[str, ...]) -> float:
        return sum(self.load_s.get(node, {}).get(model, 0.0) for model in models)

    def moving(self, problem: Problem, present: Plan, horizon_s: float) -> Moving:
        """The same for a policy that plans with it (F16)."""
        load_qps = max(problem.total_load_qps, 1e-9)
        return Moving(
            held=present.onloading,
            cost_s={
                node: {
                    model: self.qps.get(node, 0.0) * self._loading_s(node, (model,)) / load_qps
                    for model in problem.models
                }
                for node in (*problem.clients, *problem.edges)
            },
            horizon_s=horizon_s,
        )


def lost_by_shares(problem: Problem, allocation: Allocation) -> dict[str, float]:
    """Right answers/s that each node gives to the load of `problem` by the plan's shares."""
    local_ct, _ = right_qps(problem, allocation)
    load_at = problem.load_ct[problem.client_of_a]
    edge_a = (load_at * np.einsum("atm,mt->at", allocation.edge_atm, problem.accuracy_mt)).sum(1)
    cloud = float((load_at * problem.cloud_accuracy_t * allocation.cloud_at).sum())
    return {
        **dict(zip(problem.clients, local_ct.sum(axis=1).tolist(), strict=True)),
        **dict(zip(problem.edges, by_edge(problem, edge_a).tolist(), strict=True)),
        problem.cloud: cloud,
    }


def lost_by_queues(
    capacity: Problem, allocation: Allocation, load_ct: FloatArray, moments: Moments
) -> dict[str, float]:
    """Right answers/s that are lost without the models of each node, where clients follow their
    queues: less than it gives, as others answer some of its queries."""
    whole_c = QueueRoutedPlan(capacity, allocation).right_c(load_ct, moments)
    empty = replace(allocation, onloaded_cm=np.zeros_like(allocation.onloaded_cm))
    lost_c = np.maximum(whole_c - QueueRoutedPlan(capacity, empty).right_c(load_ct, moments), 0.0)
    lost = dict(zip(capacity.clients, lost_c.tolist(), strict=True))
    for e, edge in enumerate(capacity.edges):
        onloaded_em = allocation.onloaded_em.copy()
        onloaded_em[e] = False
        left = QueueRoutedPlan(capacity, replace(allocation, onloaded_em=onloaded_em))
        lost[edge] = max(float((whole_c - left.right_c(load_ct, moments)).sum()), 0.0)
    return lost
