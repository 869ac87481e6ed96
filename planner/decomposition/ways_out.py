"""The best ways out of every client at given prices: an edge that serves, or one towards the cloud.

A query that leaves its client earns rho_et at an edge e, or what the cloud's answer is worth less
sigma_e a byte by way of one. A client that reaches several edges (F12) takes the best of either
kind for each task. Which edges they are does not matter to the client's own program, only what
they earn; so it is settled before, and what a routing sends is dealt to the edges afterwards.

Axis suffixes: c client, e edge, a attachment, t task, x edge and task (e T + t).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.decomposition.best_set import Offers
from planner.decomposition.master import Columns
from planner.decomposition.routing_layout import VALUE, cloud_flows, edge_flows
from planner.paths import carries_nt, cloud_open_at, edge_open_at, has_deadlines, link_a
from planner.problem import FloatArray, Problem

__all__ = ["BestWays", "WaysOut"]


@dataclass(frozen=True, eq=False)
class BestWays:
    """What a query earns outside its client at the present prices, and by which edges."""

    offers: Offers
    edge_ct: NDArray[np.int64]
    """The edge that serves it best."""
    cloud_by_ct: NDArray[np.int64]
    """The edge by which the cloud is reached best."""


class WaysOut:
    """The attachments of a component's clients, in the order of the clients."""

    def __init__(self, problem: Problem, cloud_price: float) -> None:
        p = problem
        self.clients, self.edges, self.tasks = p.load_ct.shape[0], len(p.edges), len(p.tasks)
        self.edge_of_a, self.client_of_a = p.edge_of_a, p.client_of_a
        self.alone = len(p.client_of_a) == self.clients
        """Whether each client reaches one edge."""
        self.first_of_c = np.searchsorted(p.client_of_a, np.arange(self.clients))
        self.query_bytes_t = p.query_bytes_t
        cloud_net_t = p.cloud_accuracy_t - cloud_price * p.cloud_cost_t
        self.cloud_net_t = np.where(p.cloud_model_t >= 0, cloud_net_t, 0.0)
        """What an answer of the cloud is worth, its busy time charged (F8)."""
        self.edge_open_at = self.cloud_open_at = np.ones((len(p.edge_of_a), self.tasks), dtype=bool)
        if has_deadlines(p) or not self.alone:
            self.edge_open_at, self.cloud_open_at = edge_open_at(p), cloud_open_at(p)
        carried_et = carries_nt(p, p.edge_uplink_e)
        self.cloud_open_at = self.cloud_open_at & carried_et[self.edge_of_a]
        self.uplink_c = _uplink_c(p)

    def best(self, service_x: FloatArray, backhaul_e: FloatArray) -> BestWays:
        """At rho_et = `service_x` a query/s and sigma_e = `backhaul_e` a byte/s."""
        service_et = service_x.reshape(self.edges, self.tasks)
        edge_at = np.where(self.edge_open_at, service_et[self.edge_of_a], 0.0)
        charge_at = backhaul_e[self.edge_of_a, None] * self.query_bytes_t
        cloud_at = np.where(self.cloud_open_at, self.cloud_net_t - charge_at, 0.0)
        edge_ct, best_edge_ct = self._best_of_each(edge_at)
        cloud_ct, by_ct = self._best_of_each(cloud_at)
        remote_ct = np.maximum(np.maximum(edge_ct, cloud_ct), 0.0)
        return BestWays(
            Offers(remote_ct, cloud_ct > edge_ct, self.cloud_net_t), best_edge_ct, by_ct
        )

    def columns(self, routing_cr: FloatArray, ways: BestWays) -> Columns:
        """What the clients' routings (rows of `routing_layout`) bring the edges by these ways."""
        shape = (self.clients, self.edges, self.tasks)
        flow_cet, backhaul_cet = np.zeros(shape), np.zeros(shape)
        sent_ct = cloud_flows(routing_cr, self.tasks) * self.query_bytes_t
        _deal(flow_cet, ways.edge_ct, edge_flows(routing_cr, self.tasks))
        _deal(backhaul_cet, ways.cloud_by_ct, sent_ct)
        value_c = np.ascontiguousarray(routing_cr[:, VALUE])
        return Columns(value_c, flow_cet.reshape(self.clients, -1), backhaul_cet.sum(axis=2))

    def _best_of_each(self, value_at: FloatArray) -> tuple[FloatArray, NDArray[np.int64]]:
        """The largest value of each client's attachments, and the edge of the first that has it."""
        if self.alone:
            return value_at, np.broadcast_to(self.edge_of_a[:, None], value_at.shape)
        best_ct = np.maximum.reduceat(value_at, self.first_of_c, axis=0)
        is_best_at = value_at == best_ct[self.client_of_a]
        edge_at = np.where(is_best_at, self.edge_of_a[:, None], self.edges)
        return best_ct, np.minimum.reduceat(edge_at, self.first_of_c, axis=0)


def _deal(value_cet: FloatArray, edge_ct: NDArray[np.int64], value_ct: FloatArray) -> None:
    """Put each value at its edge."""
    np.put_along_axis(value_cet, edge_ct[:, None, :], value_ct[:, None, :], axis=1)


def _uplink_c(problem: Problem) -> FloatArray:
    """Bytes/s that leave a client at most (F7): its budget, or what its attachments carry together.
    The limit of an attachment beside others is left out, which bounds stay valid without."""
    carried_c = np.zeros(len(problem.clients))
    np.add.at(carried_c, problem.client_of_a, link_a(problem))
    return np.minimum(problem.client_uplink_c, carried_c)
