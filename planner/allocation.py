"""A plan as arrays: which models each node holds and which share of each load goes where.

Axis letters: c client, e edge, a attachment, t task, m model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.attachments import Component, by_client, by_edge
from planner.batch_work import first_batch_em, mean_work_em, one_query_em
from planner.fits import room
from planner.problem import FloatArray, Problem

__all__ = [
    "SMALLEST_SHARE", "Allocation", "cleaned", "join_pieces", "merge", "tidy", "unloaded",
]  # fmt: skip

SMALLEST_SHARE = 1e-9
"""Shares below this are rounding dust of a solver and are shed."""


@dataclass(frozen=True, eq=False)
class Allocation:
    """Onloading x, y (booleans) and routing shares p, q, r of `docs/formulation.md`."""

    onloaded_cm: NDArray[np.bool_]
    onloaded_em: NDArray[np.bool_]
    local_ctm: FloatArray
    edge_atm: FloatArray
    """q: share of the attachment's client answered by model m at the attachment's edge."""
    cloud_at: FloatArray
    """r: share answered in the cloud by way of the attachment's edge."""

    @classmethod
    def empty(cls, problem: Problem) -> Allocation:
        """Nothing onloaded, everything shed."""
        C, E, A = len(problem.clients), len(problem.edges), len(problem.client_of_a)
        T, M = len(problem.tasks), len(problem.models)
        return cls(
            np.zeros((C, M), dtype=bool),
            np.zeros((E, M), dtype=bool),
            np.zeros((C, T, M)),
            np.zeros((A, T, M)),
            np.zeros((A, T)),
        )

    def part(self, component: Component) -> Allocation:
        """The rows of one component, as of `Component.piece`."""
        c, a = component.clients, component.attachments
        return Allocation(
            self.onloaded_cm[c], self.onloaded_em[component.edges],
            self.local_ctm[c], self.edge_atm[a], self.cloud_at[a],
        )  # fmt: skip

    def share_ct(self, problem: Problem) -> FloatArray:
        """Share of each client's load of each task that is answered at all (F2)."""
        sent_at = self.edge_atm.sum(axis=2) + self.cloud_at
        return np.asarray(self.local_ctm.sum(axis=2) + by_client(problem, sent_at))

    def edge_rate_em(self, problem: Problem) -> FloatArray:
        """Queries/s each model receives at each edge."""
        load_at = problem.load_ct[problem.client_of_a]
        return by_edge(problem, np.einsum("at,atm->am", load_at, self.edge_atm))


def tidy(problem: Problem, allocation: Allocation, *, fill: float, batched: bool) -> Allocation:
    """Turn a solver's answer into a plan that keeps every budget to rounding error.

    Drops dust, scales the shares of a node that a tolerance let over its budget (F2, F5, F6 or
    F9, F7, F8) back by that hair, and unloads models that get no query: they cost memory and buy
    nothing, and without them y stands for the indicator of F9.
    """
    found = cleaned(problem, allocation)
    local_ctm, edge_atm, cloud_at = found.local_ctm, found.edge_atm, found.cloud_at
    load_ct, c, e = problem.load_ct, problem.client_of_a, problem.edge_of_a
    cost_cm = problem.client_setup_cm + problem.client_marginal_cm
    busy_c = np.einsum("ct,ctm,cm->c", load_ct, local_ctm, cost_cm, optimize=True)
    local_ctm *= _shrink(busy_c, fill * problem.client_compute_c)[:, None, None]
    sent_at = (load_ct * problem.query_bytes_t)[c]
    up_a = (sent_at * (edge_atm.sum(axis=2) + cloud_at)).sum(axis=1)
    shrink_a = _shrink(up_a, problem.uplink_a)
    shrink_a *= _shrink(by_client(problem, up_a * shrink_a), problem.client_uplink_c)[c]
    edge_atm *= shrink_a[:, None, None]
    cloud_at *= shrink_a[:, None]
    up_e = by_edge(problem, (sent_at * cloud_at).sum(axis=1))
    cloud_at *= _shrink(up_e, problem.edge_uplink_e)[e, None]
    busy = np.array([(load_ct[c] * cloud_at * problem.cloud_cost_t).sum()])
    cloud_at *= _shrink(busy, np.array([fill * problem.cloud_compute]))[0]
    edge_atm *= _window_factor(problem, found, fill, batched=batched)[e, None, None]
    return unloaded(problem, found)


def cleaned(problem: Problem, allocation: Allocation) -> Allocation:
    """Without dust, and with the shares of each load scaled back to 1 where they are above (F2)."""
    local_ctm = _without_dust(allocation.local_ctm)
    edge_atm = _without_dust(allocation.edge_atm)
    cloud_at = _without_dust(allocation.cloud_at)
    found = Allocation(
        allocation.onloaded_cm, allocation.onloaded_em, local_ctm, edge_atm, cloud_at
    )
    shrink_ct = 1.0 / np.maximum(found.share_ct(problem), 1.0)
    shrink_at = shrink_ct[problem.client_of_a]
    local_ctm *= shrink_ct[:, :, None]
    edge_atm *= shrink_at[:, :, None]
    cloud_at *= shrink_at
    return found


def unloaded(problem: Problem, allocation: Allocation) -> Allocation:
    """Without the models that get no query."""
    used_em = np.zeros(allocation.onloaded_em.shape, dtype=bool)
    np.logical_or.at(used_em, problem.edge_of_a, allocation.edge_atm.any(axis=1))
    used_cm = np.asarray(allocation.local_ctm.any(axis=1), dtype=bool)
    return replace(allocation, onloaded_cm=used_cm, onloaded_em=used_em)


def _window_factor(
    problem: Problem, allocation: Allocation, fill: float, *, batched: bool
) -> FloatArray:
    """Largest factor on each edge's queries that keeps F9 (or F6), to a part in 1e12."""
    queries_em = problem.window_e[:, None] * allocation.edge_rate_em(problem)
    budget_e = fill * problem.edge_compute_e * problem.window_e
    if not batched:
        return _shrink((one_query_em(problem) * queries_em).sum(axis=1), budget_e)

    # Setups alone may fill the window (`fits`); then there is nothing to scale back.
    setups_e = np.where(queries_em > 0, first_batch_em(problem), 0.0).sum(axis=1)
    full_e = (setups_e > budget_e) & (setups_e <= room(budget_e))
    budget_e = np.where(full_e, room(budget_e), budget_e)

    def over_e(factor_e: FloatArray) -> NDArray[np.bool_]:
        taken_em = factor_e[:, None] * queries_em
        return np.asarray(mean_work_em(problem, taken_em).sum(axis=1) > budget_e)

    low_e, high_e = np.zeros(len(budget_e)), np.ones(len(budget_e))
    whole_e = ~over_e(high_e)
    if whole_e.all():
        return high_e
    for _ in range(40):
        middle_e = 0.5 * (low_e + high_e)
        over = over_e(middle_e)
        low_e, high_e = np.where(over, low_e, middle_e), np.where(over, middle_e, high_e)
    return np.where(whole_e, 1.0, low_e)


def _without_dust(share: FloatArray) -> FloatArray:
    return np.where(share > SMALLEST_SHARE, share, 0.0)


def _shrink(use_n: FloatArray, budget_n: FloatArray) -> FloatArray:
    """Factor <= 1 that brings each use to its budget."""
    over_n = use_n > budget_n
    return np.divide(budget_n, use_n, out=np.ones_like(use_n), where=over_n)


def join_pieces(problem: Problem, pieces: Iterable[tuple[Component, Allocation]]) -> Allocation:
    """The allocation of the whole problem from those of its components."""
    whole = Allocation.empty(problem)
    for component, piece in pieces:
        whole.onloaded_cm[component.clients] = piece.onloaded_cm
        whole.onloaded_em[component.edges] = piece.onloaded_em
        whole.local_ctm[component.clients] = piece.local_ctm
        whole.edge_atm[component.attachments] = piece.edge_atm
        whole.cloud_at[component.attachments] = piece.cloud_at
    return whole


def merge(
    problem: Problem, old: Allocation, new: Allocation, from_new_e: NDArray[np.bool_]
) -> Allocation:
    """`old` with the rows of the edges marked, their attachments and clients taken from `new`.

    The edges of a component must be marked alike.
    """
    from_new_a = from_new_e[problem.edge_of_a]
    from_new_c = np.zeros(len(problem.clients), dtype=bool)
    from_new_c[problem.client_of_a] = from_new_a

    def mixed(name: str, from_new_n: NDArray[np.bool_]) -> NDArray[Any]:
        a, b = getattr(old, name), getattr(new, name)
        rows: NDArray[Any] = np.where(from_new_n.reshape(-1, *[1] * (a.ndim - 1)), b, a)
        return rows

    return Allocation(
        mixed("onloaded_cm", from_new_c), mixed("onloaded_em", from_new_e),
        mixed("local_ctm", from_new_c), mixed("edge_atm", from_new_a),
        mixed("cloud_at", from_new_a),
    )  # fmt: skip
