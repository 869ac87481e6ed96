"""A plan as arrays: which models each node holds and which share of each load goes where.

Axis letters: c client, e edge, t task, m model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.problem import FloatArray, Problem

__all__ = ["SMALLEST_SHARE", "Allocation", "join_pieces", "tidy"]

SMALLEST_SHARE = 1e-9
"""Shares below this are rounding dust of a solver and are shed."""


@dataclass(frozen=True, eq=False)
class Allocation:
    """Onloading x, y (booleans) and routing shares p, q, r of `docs/formulation.md`."""

    onloaded_cm: NDArray[np.bool_]
    onloaded_em: NDArray[np.bool_]
    local_ctm: FloatArray
    edge_ctm: FloatArray
    cloud_ct: FloatArray

    @classmethod
    def empty(cls, problem: Problem) -> Allocation:
        """Nothing onloaded, everything shed."""
        C, E = len(problem.clients), len(problem.edges)
        T, M = len(problem.tasks), len(problem.models)
        return cls(
            np.zeros((C, M), dtype=bool),
            np.zeros((E, M), dtype=bool),
            np.zeros((C, T, M)),
            np.zeros((C, T, M)),
            np.zeros((C, T)),
        )

    def part(self, clients: NDArray[np.int64], edge: int) -> Allocation:
        """The rows of one edge and its clients, as of `Problem.edge_piece`."""
        return Allocation(
            self.onloaded_cm[clients], self.onloaded_em[edge : edge + 1],
            self.local_ctm[clients], self.edge_ctm[clients], self.cloud_ct[clients],
        )  # fmt: skip

    def edge_rate_em(self, problem: Problem) -> FloatArray:
        """Queries/s each model receives at each edge."""
        rate_cm = np.einsum("ct,ctm->cm", problem.load_ct, self.edge_ctm)
        rate_em = np.zeros(self.onloaded_em.shape)
        np.add.at(rate_em, problem.edge_of_c, rate_cm)
        return rate_em


def tidy(problem: Problem, allocation: Allocation, *, fill: float, batched: bool) -> Allocation:
    """Turn a solver's answer into a plan that keeps every budget to rounding error.

    Drops dust, scales the shares of a node that a tolerance let over its budget (F2, F5, F6 or
    F9, F7, F8) back by that hair, and unloads models that get no query: they cost memory and buy
    nothing, and without them y stands for the indicator of F9.
    """
    local_ctm = _without_dust(allocation.local_ctm)
    edge_ctm = _without_dust(allocation.edge_ctm)
    cloud_ct = _without_dust(allocation.cloud_ct)
    load_ct, e = problem.load_ct, problem.edge_of_c
    shrink_ct = 1.0 / np.maximum(local_ctm.sum(axis=2) + edge_ctm.sum(axis=2) + cloud_ct, 1.0)
    local_ctm *= shrink_ct[:, :, None]
    edge_ctm *= shrink_ct[:, :, None]
    cloud_ct *= shrink_ct
    cost_cm = problem.client_setup_cm + problem.client_marginal_cm
    busy_c = np.einsum("ct,ctm,cm->c", load_ct, local_ctm, cost_cm, optimize=True)
    local_ctm *= _shrink(busy_c, fill * problem.client_compute_c)[:, None, None]
    sent_ct = load_ct * problem.query_bytes_t
    up_c = (sent_ct * (edge_ctm.sum(axis=2) + cloud_ct)).sum(axis=1)
    shrink_c = _shrink(up_c, problem.client_uplink_c)
    edge_ctm *= shrink_c[:, None, None]
    cloud_ct *= shrink_c[:, None]
    up_e = np.zeros(len(problem.edges))
    np.add.at(up_e, e, (sent_ct * cloud_ct).sum(axis=1))
    cloud_ct *= _shrink(up_e, problem.edge_uplink_e)[e, None]
    busy = np.array([(load_ct * cloud_ct * problem.cloud_cost_t).sum()])
    cloud_ct *= _shrink(busy, np.array([fill * problem.cloud_compute]))[0]
    found = Allocation(
        allocation.onloaded_cm, allocation.onloaded_em, local_ctm, edge_ctm, cloud_ct
    )
    queries_em = problem.window_e[:, None] * found.edge_rate_em(problem)
    budget_e = fill * problem.edge_compute_e * problem.window_e
    if batched:
        setup_e = np.where(queries_em > 0, problem.edge_setup_em, 0.0).sum(axis=1)
        budget_e = np.maximum(budget_e - setup_e, 0.0)
        cost_em = problem.edge_marginal_em
    else:
        cost_em = problem.edge_setup_em + problem.edge_marginal_em
    variable_e = (cost_em * queries_em).sum(axis=1)
    edge_ctm *= _shrink(variable_e, budget_e)[e, None, None]
    used_em = np.zeros(allocation.onloaded_em.shape, dtype=bool)
    np.logical_or.at(used_em, e, edge_ctm.any(axis=1))
    used_cm = np.asarray(local_ctm.any(axis=1), dtype=bool)
    return Allocation(used_cm, used_em, local_ctm, edge_ctm, cloud_ct)


def _without_dust(share: FloatArray) -> FloatArray:
    return np.where(share > SMALLEST_SHARE, share, 0.0)


def _shrink(use_n: FloatArray, budget_n: FloatArray) -> FloatArray:
    """Factor <= 1 that brings each use to its budget."""
    over_n = use_n > budget_n
    return np.divide(budget_n, use_n, out=np.ones_like(use_n), where=over_n)


def join_pieces(
    problem: Problem, pieces: Iterable[tuple[int, NDArray[np.int64], Allocation]]
) -> Allocation:
    """The allocation of the whole problem from (edge index, client indices, allocation) pieces."""
    whole = Allocation.empty(problem)
    for edge, c, piece in pieces:
        whole.onloaded_cm[c] = piece.onloaded_cm
        whole.onloaded_em[edge] = piece.onloaded_em[0]
        whole.local_ctm[c] = piece.local_ctm
        whole.edge_ctm[c] = piece.edge_ctm
        whole.cloud_ct[c] = piece.cloud_ct
    return whole
