"""What a plan's routes are worth under a load that they were not made for.

F1 alone does not know: a plan's shares keep their accuracy on paper however full its links are.
Here every budget that a load overfills lets through only what it has room for, in equal parts, and
what is turned away is lost, or is answered by its client's own models where the system spills over.
Where tasks are asked of the same images (F14), each device and link is taken to have as many passes
and images for its queries as under the mean load.
Axis letters: s slice of moments, c client, e edge, a attachment, t task, m model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from planner.allocation import Allocation
from planner.passes import PlanWork, apart, work_of
from planner.paths import local_open_cmt
from planner.problem import FloatArray, Problem
from serving.replan.scenarios import Moments

__all__ = ["PlanValue", "RoutedPlan"]


@dataclass(frozen=True)
class PlanValue:
    """Expected right answers per second, and queries per second, over the moments of a load."""

    right_qps: float
    load_qps: float

    @property
    def objective(self) -> float:
        """F1: right answers per query."""
        return self.right_qps / self.load_qps if self.load_qps > 0 else 0.0


@dataclass(frozen=True, eq=False)
class _Kept:
    """Which share of its queries each way keeps, by slice."""

    local_sc: FloatArray
    edge_sa: FloatArray
    cloud_sa: FloatArray

    def __mul__(self, other: _Kept) -> _Kept:
        return _Kept(
            self.local_sc * other.local_sc,
            self.edge_sa * other.edge_sa,
            self.cloud_sa * other.cloud_sa,
        )


class _EachQuery(NamedTuple):
    """What a query takes, ÷ what one takes that has an image of its own (F14)."""

    local_c: FloatArray
    """of its client's time"""
    edge_am: FloatArray
    """of passes of a model"""
    up_a: FloatArray
    """of bytes on the way to the edge"""
    backhaul_a: FloatArray
    """of bytes on the way to the cloud"""
    cloud: FloatArray
    """of the cloud's time"""


@dataclass(frozen=True, eq=False)
class RoutedPlan:
    """A plan on budgets that loads are tried on. `capacity` has the links' whole bandwidths."""

    capacity: Problem
    """under the mean load"""
    allocation: Allocation
    spill_over: bool
    """whether a query whose way is full is answered by its own client where that can"""

    def value(self, load_ct: FloatArray, moments: Moments) -> PlanValue:
        """The value when the mean load is `load_ct` (queries/s).

        In the mean, budgets of compute hold (F5, F8, F9) and links carry their whole bandwidth
        (F7); in a single moment a device may be busy all the time.
        """
        problem = self.capacity
        at_first = _Kept(
            np.ones((1, len(problem.clients))),
            np.ones((1, len(problem.client_of_a))),
            np.ones((1, len(problem.client_of_a))),
        )
        in_the_mean = self._thinned(load_ct[None], at_first, whole_devices=False)
        load_sct = load_ct[None] * moments.factor_sc[:, :, None]
        kept = self._thinned(load_sct, in_the_mean, whole_devices=True)
        right_s = self._right_s(load_sct, kept)
        if self.spill_over:
            right_s = right_s + self._spilled_s(load_sct, kept)
        return PlanValue(
            float(moments.weight_s @ right_s),
            float(moments.weight_s @ load_sct.sum(axis=(1, 2))),
        )

    def _thinned(self, load_sct: FloatArray, before: _Kept, *, whole_devices: bool) -> _Kept:
        """What is kept of `before`, budget after budget from the clients up."""
        p, plan, each = self.capacity, self._answered, self._each_query
        c, e = p.client_of_a, p.edge_of_a
        compute_c = np.ones_like(p.client_compute_c) if whole_devices else p.client_compute_c
        compute_e = np.ones_like(p.edge_compute_e) if whole_devices else p.edge_compute_e
        cloud_compute = max(1.0, p.cloud_compute) if whole_devices else p.cloud_compute
        busy_sc = self._busy_sc(load_sct, before)
        local_sc = _fit(busy_sc, compute_c)
        load_sat = load_sct[:, c]
        edge_sa = np.einsum("sat,at->sa", load_sat * p.query_bytes_t, self._edge_share_at)
        cloud_sa = np.einsum("sat,at->sa", load_sat * p.query_bytes_t, plan.cloud_at)
        up_sa = each.up_a * (edge_sa * before.edge_sa + cloud_sa * before.cloud_sa)
        fits_sa = _fit(up_sa, p.uplink_a)
        fits_sa = (
            fits_sa * _fit(_sum_by(up_sa * fits_sa, c, len(p.clients)), p.client_uplink_c)[:, c]
        )
        kept_edge_sa, kept_cloud_sa = before.edge_sa * fits_sa, before.cloud_sa * fits_sa
        backhaul_se = _sum_by(each.backhaul_a * cloud_sa * kept_cloud_sa, e, len(p.edges))
        kept_cloud_sa = kept_cloud_sa * _fit(backhaul_se, p.edge_uplink_e)[:, e]
        cost_sa = np.einsum("sat,at->sa", load_sat * p.cloud_cost_t, plan.cloud_at)
        busy_s = each.cloud * (cost_sa * kept_cloud_sa).sum(axis=1, keepdims=True)
        kept_cloud_sa = kept_cloud_sa * _fit(busy_s, np.array([cloud_compute]))
        kept_edge_sa = kept_edge_sa * self._windows_se(load_sat, kept_edge_sa, compute_e)[:, e]
        return _Kept(before.local_sc * local_sc, kept_edge_sa, kept_cloud_sa)

    def _windows_se(
        self, load_sat: FloatArray, kept_sa: FloatArray, compute_e: FloatArray
    ) -> FloatArray:
        """The share of its queries for which each edge's windows have room (F9): what the first
        batch of every model costs is spent, the rest goes by the query."""
        p = self.capacity
        rate_sam = np.einsum("sat,atm->sam", load_sat, self._answered.edge_atm)
        rate_sam = rate_sam * self._each_query.edge_am
        rate_sem = _sum_by(rate_sam * kept_sa[:, :, None], p.edge_of_a, len(p.edges))
        queries_sem = p.window_e[:, None] * rate_sem
        fixed_se = np.where(queries_sem > 0, p.edge_setup_em, 0.0).sum(axis=2)
        further_sem = np.maximum(queries_sem / p.edge_max_batch_e[:, None] - 1.0, 0.0)
        by_query_sem = p.edge_setup_em * further_sem + p.edge_marginal_em * queries_sem
        return _fit(by_query_sem.sum(axis=2), np.maximum(compute_e * p.window_e - fixed_se, 0.0))

    def _right_s(self, load_sct: FloatArray, kept: _Kept) -> FloatArray:
        """Right answers per second, by slice."""
        p = self.capacity
        load_sat = load_sct[:, p.client_of_a]
        local_sc = np.einsum("sct,ct->sc", load_sct, self._local_right_ct) * kept.local_sc
        edge_sa = np.einsum("sat,at->sa", load_sat, self._edge_right_at) * kept.edge_sa
        cloud_at = self._answered.cloud_at * p.cloud_accuracy_t
        cloud_sa = np.einsum("sat,at->sa", load_sat, cloud_at) * kept.cloud_sa
        return np.asarray(local_sc.sum(axis=1) + edge_sa.sum(axis=1) + cloud_sa.sum(axis=1))

    def _spilled_s(self, load_sct: FloatArray, kept: _Kept) -> FloatArray:
        """Right answers per second to queries that found their way full, by models that their own
        clients hold, as far as those have time."""
        p, plan = self.capacity, self._answered
        lost_sat = self._edge_share_at * (1.0 - kept.edge_sa)[:, :, None]
        lost_sat = lost_sat + plan.cloud_at * (1.0 - kept.cloud_sa)[:, :, None]
        lost_sct = load_sct * _sum_by(lost_sat, p.client_of_a, len(p.clients))
        lost_sct = np.where(self._refuge_ct > 0, lost_sct, 0.0)
        busy_sc = self._busy_sc(load_sct, kept)
        wanted_sc = np.einsum("sct,ct->sc", lost_sct, self._refuge_cost_ct)
        room_sc = np.maximum(1.0 - busy_sc, 0.0)
        taken_sc = np.divide(
            room_sc, wanted_sc, out=np.ones_like(room_sc), where=wanted_sc > room_sc
        )
        return np.asarray(np.einsum("sct,ct,sc->s", lost_sct, self._refuge_ct, taken_sc))

    def _busy_sc(self, load_sct: FloatArray, kept: _Kept) -> FloatArray:
        """Busy seconds per second of each client."""
        alone_sc = np.einsum("sct,ct->sc", load_sct, self._local_cost_ct)
        return np.asarray(self._each_query.local_c * alone_sc * kept.local_sc)

    @cached_property
    def _work(self) -> PlanWork:
        return work_of(self.capacity, self.allocation)

    @cached_property
    def _answered(self) -> Allocation:
        """The plan's shares, less what is shed with another task of its image."""
        return self._work.answered

    @cached_property
    def _each_query(self) -> _EachQuery:
        p, work, plan = self.capacity, self._work, self._answered
        if not p.asks_together:
            return _EachQuery(*(np.ones(1) for _ in range(5)))
        alone = work_of(apart(p), plan)
        bytes_at = (p.load_ct * p.query_bytes_t)[p.client_of_a]
        up_a = (bytes_at * (self._edge_share_at + plan.cloud_at)).sum(axis=1)
        return _EachQuery(
            local_c=_part(work.busy_c, alone.busy_c),
            edge_am=_part(work.passes_am, alone.passes_am),
            up_a=_part(work.up_bytes_a, up_a),
            backhaul_a=_part(work.backhaul_bytes_a, (bytes_at * plan.cloud_at).sum(axis=1)),
            cloud=_part(np.array([work.cloud_busy]), np.array([alone.cloud_busy])),
        )

    @cached_property
    def _client_cost_cm(self) -> FloatArray:
        return np.asarray(self.capacity.client_setup_cm + self.capacity.client_marginal_cm)

    @cached_property
    def _local_cost_ct(self) -> FloatArray:
        local_ctm = self._answered.local_ctm
        return np.asarray(np.einsum("ctm,cm->ct", local_ctm, self._client_cost_cm))

    @cached_property
    def _local_right_ct(self) -> FloatArray:
        local_ctm = self._answered.local_ctm
        return np.asarray(np.einsum("ctm,mt->ct", local_ctm, self.capacity.accuracy_mt))

    @cached_property
    def _edge_share_at(self) -> FloatArray:
        return np.asarray(self._answered.edge_atm.sum(axis=2))

    @cached_property
    def _edge_right_at(self) -> FloatArray:
        edge_atm = self._answered.edge_atm
        return np.asarray(np.einsum("atm,mt->at", edge_atm, self.capacity.accuracy_mt))

    @cached_property
    def _held_accuracy_ctm(self) -> FloatArray:
        """Accuracy c x t x m of what each client holds and answers in time (F13)."""
        open_cmt = local_open_cmt(self.capacity) & self.allocation.onloaded_cm[:, :, None]
        open_ctm = np.swapaxes(open_cmt, 1, 2)
        return np.where(open_ctm, self.capacity.accuracy_mt.T[None], 0.0)

    @cached_property
    def _refuge_ct(self) -> FloatArray:
        """Accuracy of the best model that the client itself holds for the task; 0 for none."""
        return np.asarray(self._held_accuracy_ctm.max(axis=2))

    @cached_property
    def _refuge_cost_ct(self) -> FloatArray:
        best_ct = self._held_accuracy_ctm.argmax(axis=2)
        return np.take_along_axis(self._client_cost_cm, best_ct, axis=1)


def _part(together_n: FloatArray, alone_n: FloatArray) -> FloatArray:
    """What is taken of what it would be; 1 where there is nothing."""
    return np.divide(together_n, alone_n, out=np.ones_like(alone_n), where=alone_n > 0)


def _fit(use_sn: FloatArray, budget_n: FloatArray) -> FloatArray:
    """Share of each use that its budget has room for."""
    budget_sn = np.broadcast_to(budget_n, use_sn.shape)
    return np.divide(budget_sn, use_sn, out=np.ones_like(use_sn), where=use_sn > budget_sn)


def _sum_by(value_sa: FloatArray, index_a: np.ndarray, count: int) -> FloatArray:
    """Sum over attachments of the same client or edge; further axes are kept."""
    total = np.zeros((count, value_sa.shape[0], *value_sa.shape[2:]))
    np.add.at(total, index_a, np.moveaxis(value_sa, 1, 0))
    return np.moveaxis(total, 0, 1)
