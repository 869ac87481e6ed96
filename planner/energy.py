"""F18: what a plan draws in watts, and what keeps that low: a budget, or a price.

A pass costs a client some joules a query, an edge a part for each batch and a part for each query,
the cloud some a query. A byte that goes up a link costs the node that sends it. With rates in
queries/s that makes watts. What a node draws when it does nothing is the same for every plan, so it
is in none of these numbers: leave it out of a budget too.

Example: an edge answers 5 queries/s in windows of 1 s, with 2 J a batch and 0.1 J a query. It draws
2 + 0.5 = 2.5 W. At a price of 0.1 right answers a joule it must earn 0.25 right answers/s.

Axis letters: c client, e edge, a attachment, t task, m model, n node (clients, edges, cloud).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.errors import InputError
from planner.allocation import Allocation
from planner.attachments import Component, by_client, by_edge
from planner.fits import room
from planner.problem import FloatArray, Problem

__all__ = [
    "Energy",
    "EnergyGoal",
    "PowerBudget",
    "batches_per_query_e",
    "energy_of_devices",
    "power_n",
    "within_budget",
]


@dataclass(frozen=True, eq=False)
class Energy:
    """Joules of passes and bytes, beyond what nodes draw when idle. Arrays become read-only.

    Raises `ValueError` for a number that is negative, infinite or none.
    """

    client_j_cm: FloatArray
    """a query answered by m at client c"""
    edge_batch_j_em: FloatArray
    """a batch of m at edge e, however small it is"""
    edge_query_j_em: FloatArray
    """each query of it, beside that"""
    cloud_j_t: FloatArray
    """a query of task t answered in the cloud"""
    uplink_j_per_byte_a: FloatArray
    """a byte of a query that client c sends by attachment a"""
    edge_uplink_j_per_byte_e: FloatArray
    """a byte of a query that edge e sends to the cloud"""

    def __post_init__(self) -> None:
        for item in fields(self):
            axes = item.name.rsplit("_", 1)[1]
            array = _array(f"energy: {item.name}", getattr(self, item.name), len(axes))
            if not np.isfinite(array).all():
                raise ValueError(f"energy: {item.name} must be finite")
            object.__setattr__(self, item.name, array)


@dataclass(frozen=True, eq=False)
class PowerBudget:
    """The most watts that nodes may draw beyond idling, and all of them together; inf: no limit.

    A single number for clients or edges is that of each of them. Raises `ValueError` for one that
    is negative or none.
    """

    client_w_c: FloatArray | float = np.inf
    edge_w_e: FloatArray | float = np.inf
    cloud_w: float = np.inf
    total_w: float = np.inf

    def __post_init__(self) -> None:
        for item in fields(self):
            value = np.asarray(getattr(self, item.name), dtype=np.float64)
            listed = 1 if item.name in ("client_w_c", "edge_w_e") else 0
            value = _array(f"power budget: {item.name}", value, min(value.ndim, listed))
            object.__setattr__(self, item.name, value if value.ndim else float(value))

    def limits_n(self, problem: Problem) -> FloatArray:
        """Watts of each client, each edge, the cloud, and all together."""
        client_w_c = np.broadcast_to(self.client_w_c, len(problem.clients))
        edge_w_e = np.broadcast_to(self.edge_w_e, len(problem.edges))
        return np.concatenate([client_w_c, edge_w_e, [self.cloud_w, self.total_w]])

    @property
    def couples(self) -> bool:
        """Whether components share a budget: that of the cloud, or of all nodes."""
        return bool(np.isfinite(self.cloud_w) or np.isfinite(self.total_w))


@dataclass(frozen=True, eq=False)
class EnergyGoal:
    """What passes and bytes cost, and either a `price` (right answers a joule) or a `budget`.

    With a price the plan maximises right answers/s less price times watts. A price of 0 counts the
    watts and changes nothing else. Raises `ValueError` for both, for none and for a price below 0.

        Options(energy=EnergyGoal(energy, budget=PowerBudget(total_w=200.0)))
    """

    energy: Energy
    price: float | None = None
    budget: PowerBudget | None = None

    def __post_init__(self) -> None:
        if (self.price is None) == (self.budget is None):
            given = "both" if self.budget is not None else "neither"
            raise ValueError(f"energy (F18): give a price or a budget, got {given}")
        if self.price is not None and not 0 <= self.price < np.inf:
            raise ValueError(f"energy (F18): price must be at least 0, got {self.price}")

    @property
    def couples(self) -> bool:
        """Whether components share a budget."""
        return self.budget is not None and self.budget.couples

    def check(self, problem: Problem) -> None:
        """Raise `InputError` where an array has another shape than `problem` needs."""
        sizes = {
            "c": len(problem.clients), "e": len(problem.edges), "a": len(problem.client_of_a),
            "t": len(problem.tasks), "m": len(problem.models),
        }  # fmt: skip
        for where, given in (("energy", self.energy), ("power budget", self.budget)):
            for item in fields(given) if given is not None else ():
                array = np.asarray(getattr(given, item.name))
                shape = tuple(sizes[axis] for axis in item.name.rsplit("_", 1)[1] if axis in sizes)
                if array.shape != shape and array.ndim:
                    raise InputError(
                        f"{where}: {item.name} has shape {array.shape}, the problem needs {shape}"
                    )

    def part(self, component: Component) -> EnergyGoal:
        """The goal of one component, as of `Component.piece`. What all share, each may have whole:
        together they may then draw too much, but a bound on each is a bound."""
        picked = {"c": component.clients, "e": component.edges, "a": component.attachments}

        def cut(given: Energy | PowerBudget) -> dict[str, Any]:
            values = {item.name: getattr(given, item.name) for item in fields(given)}
            rows = {name: picked.get(name.rsplit("_", 1)[1][0]) for name in values}
            return {
                name: value if rows[name] is None or not np.ndim(value) else value[rows[name]]
                for name, value in values.items()
            }

        budget = None if self.budget is None else PowerBudget(**cut(self.budget))
        return replace(self, energy=Energy(**cut(self.energy)), budget=budget)


def energy_of_devices(
    problem: Problem,
    *,
    client_w: FloatArray | float,
    edge_w: FloatArray | float,
    cloud_w: float,
    uplink_j_per_byte: FloatArray | float = 0.0,
    edge_uplink_j_per_byte: FloatArray | float = 0.0,
) -> Energy:
    """Busy seconds times the watts that a busy device draws beyond an idle one.

    Watts and joules a byte are one number for all nodes of a tier, or an array (clients, edges;
    attachments, edges). A batch takes its set-up at an edge, a query its marginal cost.
    """
    p = problem
    client_w_c = np.broadcast_to(client_w, len(p.clients))
    edge_w_e = np.broadcast_to(edge_w, len(p.edges))
    return Energy(
        client_j_cm=client_w_c[:, None] * (p.client_setup_cm + p.client_marginal_cm),
        edge_batch_j_em=edge_w_e[:, None] * p.edge_setup_em,
        edge_query_j_em=edge_w_e[:, None] * p.edge_marginal_em,
        cloud_j_t=cloud_w * p.cloud_cost_t,
        uplink_j_per_byte_a=np.broadcast_to(uplink_j_per_byte, len(p.client_of_a)),
        edge_uplink_j_per_byte_e=np.broadcast_to(edge_uplink_j_per_byte, len(p.edges)),
    )


def batches_per_query_e(problem: Problem, *, batching: bool) -> FloatArray:
    """Batches that each query adds to the one that a window has for a model in use: 1 / B_e. Every
    query is a batch of its own, and no window has one beside, where edges do not batch (F6)."""
    return 1 / problem.edge_max_batch_e if batching else np.ones(len(problem.edges))


def power_n(
    problem: Problem, allocation: Allocation, energy: Energy, *, batching: bool = True
) -> FloatArray:
    """Watts that `allocation` makes each client, each edge and the cloud draw beyond idling.

    A window brings a model in use 1 + n / B_e batches, for n queries of it in the mean. That is at
    least the mean number of batches, whatever the arrivals: N queries make less than 1 + N / B_e.
    It is the true number where B_e has no limit and every window has a query; a window without one
    needs no batch. F9 counts the batches of the mean load, which may be fewer where B_e is full.
    """
    fixed_n, varying_n = _parts_n(problem, allocation, energy, batching)
    return fixed_n + varying_n


def within_budget(
    problem: Problem, allocation: Allocation, goal: EnergyGoal, *, batching: bool = True
) -> Allocation:
    """`allocation` with the shares of every node that draws too much scaled back until its budget
    holds: by the hair that a solver's tolerance let it over."""
    if goal.budget is None:
        return allocation
    fixed_n, varying_n = (
        np.append(part_n, part_n.sum())
        for part_n in _parts_n(problem, allocation, goal.energy, batching)
    )
    limit_n = goal.budget.limits_n(problem)
    # First batches alone may take all that `fits` forgives.
    limit_n = np.where(fixed_n > limit_n, room(limit_n), limit_n)
    over_n = fixed_n + varying_n > limit_n
    left_n = np.maximum(limit_n - fixed_n, 0.0)
    factor_n = np.divide(
        left_n, varying_n, out=np.ones_like(left_n), where=over_n & (varying_n > 0)
    )
    C, A = len(problem.clients), len(problem.client_of_a)
    client_c, edge_e, (cloud, total) = factor_n[:C], factor_n[C:-2], factor_n[-2:]
    sent_a = total * client_c[problem.client_of_a] * edge_e[problem.edge_of_a]
    return replace(
        allocation,
        local_ctm=allocation.local_ctm * total * client_c[:, None, None],
        edge_atm=allocation.edge_atm * sent_a.reshape(A, 1, 1),
        cloud_at=allocation.cloud_at * cloud * sent_a[:, None],
    )


def _parts_n(
    problem: Problem, allocation: Allocation, energy: Energy, batching: bool
) -> tuple[FloatArray, FloatArray]:
    """Watts of the first batches of models in use, and those that grow with the shares."""
    p, c = problem, problem.client_of_a
    cloud_qps_at = p.load_ct[c] * allocation.cloud_at
    sent_qps_at = p.load_ct[c] * allocation.edge_atm.sum(axis=2) + cloud_qps_at
    rate_em = allocation.edge_rate_em(p)
    first_em = np.where(rate_em > 0, energy.edge_batch_j_em, 0.0) / p.window_e[:, None]
    first_e = first_em.sum(axis=1) if batching else np.zeros(len(p.edges))
    local_c = np.einsum(
        "ct,ctm,cm->c", p.load_ct, allocation.local_ctm, energy.client_j_cm, optimize=True
    )
    link_a = energy.uplink_j_per_byte_a * (sent_qps_at @ p.query_bytes_t)
    batches_em = batches_per_query_e(p, batching=batching)[:, None] * rate_em
    passes_e = (energy.edge_batch_j_em * batches_em + energy.edge_query_j_em * rate_em).sum(axis=1)
    onward_e = energy.edge_uplink_j_per_byte_e * by_edge(p, cloud_qps_at @ p.query_bytes_t)
    cloud_w = float((cloud_qps_at @ energy.cloud_j_t).sum())
    fixed_n = np.concatenate([np.zeros(len(p.clients)), first_e, [0.0]])
    varying_n = np.concatenate([local_c + by_client(p, link_a), passes_e + onward_e, [cloud_w]])
    return fixed_n, varying_n


def _array(name: str, value: FloatArray, axes: int) -> NDArray[np.float64]:
    array = np.array(value, dtype=np.float64)
    if array.ndim != axes:
        raise ValueError(f"{name} must have {axes} axes, got {array.ndim}")
    bad = ~(array >= 0)
    if bad.any():
        raise ValueError(f"{name} must be at least 0, got {array[bad].flat[0]}")
    array.setflags(write=False)
    return array
