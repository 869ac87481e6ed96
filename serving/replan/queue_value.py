"""What a plan's models are worth where clients follow their queues (`RoutingMode.PENALTY`).

Shares say nothing there: each client fills its link with the queries that gain most by it, and
answers the rest itself. So what counts is which models are held, and where. Here that is a fluid:
in every moment of a load (`Moments`) each client's link takes its tasks in order of their gain,
edges and backhauls let through what they have room for, and all else is answered at home as far as
the client's device has time.

Example: a link for 12 queries/s; 9 of segmentation (0.82 above, nothing at home) and 6 of depth
(0.87 above, 0.64 at home) are asked. All 9 go up and 3 of depth. In a burst of four times as many,
12 of 36 go up, and the others are lost: there a model for them at home is worth more.

Axis letters: s slice of moments, c client, e edge, a attachment, t task, m model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.allocation import Allocation
from planner.attachments import by_client
from planner.paths import edge_open_at, local_open_cmt
from planner.problem import FloatArray, Problem
from serving.replan.plan_value import PlanValue
from serving.replan.scenarios import Moments

__all__ = ["QueueRoutedPlan"]


@dataclass(frozen=True, eq=False)
class QueueRoutedPlan:
    """A plan's models on `capacity`, the problem with the links' whole bandwidths."""

    capacity: Problem
    allocation: Allocation

    def value(self, load_ct: FloatArray, moments: Moments) -> PlanValue:
        """The value when the mean load is `load_ct` (queries/s)."""
        load_c = load_ct.sum(axis=1)
        return PlanValue(
            float(self.right_c(load_ct, moments).sum()),
            float(moments.weight_s @ (moments.factor_sc @ load_c)),
        )

    def right_c(self, load_ct: FloatArray, moments: Moments) -> FloatArray:
        """Expected right answers per second to each client's queries."""
        load_sct = load_ct[None] * moments.factor_sc[:, :, None]
        edge_sct, cloud_sct = self.sent_up(load_sct)
        home_sct = load_sct - edge_sct - cloud_sct
        right_sc = np.einsum("sct,ct->sc", edge_sct, self._edge_ct)
        right_sc += np.einsum("sct,ct->sc", cloud_sct, self._cloud_ct)
        busy_sc = np.einsum("sct,ct->sc", home_sct, self._home_cost_ct)
        in_time_sc = 1.0 / np.maximum(busy_sc, 1.0)
        right_sc += np.einsum("sct,ct->sc", home_sct, self._home_ct) * in_time_sc
        return np.asarray(moments.weight_s @ right_sc)

    def sent_up(self, load_sct: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Queries/s of `load_sct` that edges answer, and that the cloud answers."""
        p = self.capacity
        bytes_sct = load_sct * p.query_bytes_t * self._upward_ct
        order_ct = np.argsort(-self._gain_ct, axis=1, kind="stable")[None]
        order_sct = np.broadcast_to(order_ct, bytes_sct.shape)
        sorted_sct = np.take_along_axis(bytes_sct, order_sct, axis=2)
        before_sct = np.cumsum(sorted_sct, axis=2) - sorted_sct
        room_sct = np.clip(self._link_c[None, :, None] - before_sct, 0.0, sorted_sct)
        part_sct = np.divide(
            room_sct, sorted_sct, out=np.ones_like(room_sct), where=sorted_sct > room_sct
        )
        taken_sct = np.empty_like(part_sct)
        np.put_along_axis(taken_sct, order_sct, part_sct, axis=2)
        up_sct = load_sct * self._upward_ct * taken_sct
        cloud_sct = up_sct * self._cloud_part_ct
        edge_sct = up_sct - cloud_sct
        backhaul_se = self._by_edge(cloud_sct * p.query_bytes_t)
        cloud_sct = cloud_sct * _fit(backhaul_se, p.edge_uplink_e)[:, self._edge_c][:, :, None]
        return edge_sct * self._windows_se(edge_sct)[:, self._edge_c][:, :, None], cloud_sct

    def _windows_se(self, edge_sct: FloatArray) -> FloatArray:
        """The share of its queries for which each edge's windows have room (F9)."""
        p = self.capacity
        work_sct = edge_sct * p.edge_marginal_em[self._edge_c[:, None], self._model_ct]
        used_em = np.zeros(p.edge_setup_em.shape, dtype=bool)
        c, t = np.nonzero(self._edge_ct > 0)
        used_em[self._edge_c[c], self._model_ct[c, t]] = True
        setup_e = np.where(used_em, p.edge_setup_em, 0.0).sum(axis=1)
        free_e = np.maximum(p.window_e - setup_e, 0.0)
        return _fit(self._by_edge(work_sct) * p.window_e, free_e)

    def _by_edge(self, value_sct: FloatArray) -> FloatArray:
        total_se = np.zeros((len(value_sct), len(self.capacity.edges)))
        np.add.at(total_se.T, self._edge_c, value_sct.sum(axis=2).T)
        return total_se

    @cached_property
    def _attachment_c(self) -> NDArray[np.int64]:
        """The link of each client whose edge answers its load best: the one that it is taken to
        use; where clients reach several edges (F12) that under-estimates what they can do."""
        p = self.capacity
        held_at = self._held_at.max(axis=2)
        worth_a = held_at.sum(axis=1) + (self.allocation.cloud_at > 0).sum(axis=1)
        worth_a = np.where(p.uplink_a > 0, worth_a, -1.0)
        first_c = np.zeros(len(p.clients), dtype=np.int64)
        for a in np.argsort(worth_a, kind="stable"):
            first_c[p.client_of_a[a]] = a
        return first_c

    @cached_property
    def _edge_c(self) -> NDArray[np.int64]:
        return np.asarray(self.capacity.edge_of_a[self._attachment_c])

    @cached_property
    def _link_c(self) -> FloatArray:
        p = self.capacity
        return np.minimum(p.client_uplink_c, p.uplink_a[self._attachment_c])

    @cached_property
    def _held_at(self) -> FloatArray:
        """Accuracy a x t x m of what each attachment's edge holds and answers in time."""
        p = self.capacity
        held_am = self.allocation.onloaded_em[p.edge_of_a]
        found = np.where(held_am[:, None, :], p.accuracy_mt.T[None], 0.0)
        return np.where(edge_open_at(p)[:, :, None], found, 0.0)

    @cached_property
    def _edge_ct(self) -> FloatArray:
        return np.asarray(self._held_at[self._attachment_c].max(axis=2))

    @cached_property
    def _model_ct(self) -> NDArray[np.int64]:
        return np.asarray(self._held_at[self._attachment_c].argmax(axis=2))

    @cached_property
    def _planned_cloud_ct(self) -> FloatArray:
        return np.asarray(by_client(self.capacity, self.allocation.cloud_at))

    @cached_property
    def _cloud_ct(self) -> FloatArray:
        planned = self._planned_cloud_ct > 0
        return np.where(planned, self.capacity.cloud_accuracy_t[None], 0.0)

    @cached_property
    def _cloud_part_ct(self) -> FloatArray:
        """Of what goes up, the part for the cloud: what the plan sends there (a client sees no
        queue beyond the next node), all of it where the edge has no model for the task."""
        return np.where(self._edge_ct > 0, np.minimum(self._planned_cloud_ct, 1.0), 1.0)

    @cached_property
    def _upward_ct(self) -> FloatArray:
        """The part of each task's queries that may go up at all."""
        gains = self._gain_ct > 0
        most_ct = np.where(self._edge_ct > 0, 1.0, np.minimum(self._planned_cloud_ct, 1.0))
        return np.where(gains, most_ct, 0.0)

    @cached_property
    def _gain_ct(self) -> FloatArray:
        return np.asarray(np.maximum(self._edge_ct, self._cloud_ct) - self._home_ct)

    @cached_property
    def _held_ctm(self) -> FloatArray:
        open_cmt = local_open_cmt(self.capacity) & self.allocation.onloaded_cm[:, :, None]
        found_cmt = np.where(open_cmt, self.capacity.accuracy_mt[None], 0.0)
        return np.swapaxes(found_cmt, 1, 2)

    @cached_property
    def _home_ct(self) -> FloatArray:
        return np.asarray(self._held_ctm.max(axis=2))

    @cached_property
    def _home_cost_ct(self) -> FloatArray:
        p = self.capacity
        cost_cm = p.client_setup_cm + p.client_marginal_cm
        cost_ct = np.take_along_axis(cost_cm, self._held_ctm.argmax(axis=2), axis=1)
        return np.where(self._home_ct > 0, cost_ct, 0.0)


def _fit(use_sn: FloatArray, budget_n: FloatArray) -> FloatArray:
    """Share of each use that its budget has room for."""
    budget_sn = np.broadcast_to(budget_n, use_sn.shape)
    return np.divide(budget_sn, use_sn, out=np.ones_like(use_sn), where=use_sn > budget_sn)
