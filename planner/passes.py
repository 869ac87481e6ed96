"""What a plan brings nodes and links: passes of models and images on links, and what is answered.

Where every task is asked of an image of its own, a query is a pass and an upload. Where several are
asked of one image (F14), a client's requests for them take the ways that `shared_ways.lay_out`
makes of its shares, as its router does: a model answers all tasks that meet there in one pass, an
image goes up a link once, and a request is shed as a whole.

Axis letters: c client, e edge, a attachment, t task, m model, b bundle.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from cluster.topology import Tier
from planner.allocation import Allocation
from planner.attachments import by_edge
from planner.bundles import alone_ct
from planner.problem import FloatArray, Problem
from planner.shared_ways import Hops, lay_out

__all__ = [
    "ImageLoad",
    "PlanWork",
    "Site",
    "Ways",
    "apart",
    "hops_of",
    "image_loads",
    "ways_of",
    "without_bundles",
    "work_of",
]


class ImageLoad(NamedTuple):
    """Images of one client of which the same tasks are asked."""

    client: int
    tasks: tuple[int, ...]
    """in the order of their names, as routers have them"""
    images_qps: float
    image_bytes: float
    """those of its largest query"""


class Site(NamedTuple):
    """A model in the reach of a client, and the attachment by which an image gets there; -1 where
    it stays."""

    tier: Tier
    attachment: int
    model: int


Ways = list[tuple[dict[int, Site], float]]
"""the ways that images of one load take, with their shares: task -> site, empty where they are
shed"""


def hops_of(site: Site) -> Hops:
    """The links that an image passes: from the edge to the cloud, and from the client to the edge,
    by the attachment."""
    if site.tier == Tier.CLIENT:
        return None, None
    backhaul: Hashable = (Tier.CLOUD, site.attachment) if site.tier == Tier.CLOUD else None
    return backhaul, (Tier.EDGE, site.attachment)


def image_loads(problem: Problem) -> list[ImageLoad]:
    """Everything that is asked, client by client: first bundles, then what is asked alone."""
    rest_ct = alone_ct(problem.bundle_bt, problem.bundle_load_cb, problem.load_ct)
    tasks_b = [
        tuple(sorted(np.flatnonzero(asked_t).tolist(), key=lambda t: problem.tasks[t]))
        for asked_t in problem.bundle_bt
    ]
    found: list[ImageLoad] = []
    for c in range(len(problem.clients)):
        rates = [(tasks, problem.bundle_load_cb[c, b]) for b, tasks in enumerate(tasks_b)]
        rates += [((t,), rest_ct[c, t]) for t in range(len(problem.tasks))]
        found += [
            ImageLoad(c, tasks, float(qps), float(problem.query_bytes_t[list(tasks)].max()))
            for tasks, qps in rates
            if qps > 0
        ]
    return found


def ways_of(problem: Problem, plan: Allocation) -> list[tuple[ImageLoad, Ways]]:
    """The ways of the images of every load under `plan`."""
    attachments_c = [
        np.flatnonzero(problem.client_of_a == c).tolist() for c in range(len(problem.clients))
    ]
    found: list[tuple[ImageLoad, Ways]] = []
    for load in image_loads(problem):
        reach = attachments_c[load.client]
        shares = {t: _shares(problem, plan, load.client, t, reach) for t in load.tasks}
        found.append((load, lay_out(shares, hops_of)))
    return found


def _shares(
    problem: Problem, plan: Allocation, c: int, t: int, reach: list[int]
) -> dict[Site, float]:
    """A client's shares of a task by site, in the order of the routes in a plan's file."""
    local_m = plan.local_ctm[c, t]
    found = {Site(Tier.CLIENT, -1, int(m)): float(local_m[m]) for m in np.flatnonzero(local_m)}
    for a in reach:
        edge_m = plan.edge_atm[a, t]
        found |= {Site(Tier.EDGE, a, int(m)): float(edge_m[m]) for m in np.flatnonzero(edge_m)}
    in_cloud = int(problem.cloud_model_t[t])
    return found | {
        Site(Tier.CLOUD, a, in_cloud): float(plan.cloud_at[a, t])
        for a in reach
        if plan.cloud_at[a, t]
    }


@dataclass(frozen=True, eq=False)
class PlanWork:
    """What `plan` brings, counted when it is asked for. Rates are per second."""

    problem: Problem
    plan: Allocation

    @cached_property
    def answered(self) -> Allocation:
        """The shares of each load that are answered: those of the plan, less what is shed with
        another task of its image."""
        return self._together.answered if self.problem.asks_together else self.plan

    @cached_property
    def qps_by_tier(self) -> dict[str, float]:
        """Queries/s answered on each tier."""
        load_ct, answered = self.problem.load_ct, self.answered
        load_at = load_ct[self.problem.client_of_a]
        return {
            "client": float((load_ct * answered.local_ctm.sum(axis=2)).sum()),
            "edge": float((load_at * answered.edge_atm.sum(axis=2)).sum()),
            "cloud": float((load_at * answered.cloud_at).sum()),
        }

    @cached_property
    def busy_c(self) -> FloatArray:
        """Busy seconds per second of clients, every pass a batch of its own."""
        p = self.problem
        cost_cm = p.client_setup_cm + p.client_marginal_cm
        if p.asks_together:
            return np.asarray((self._together.passes_cm * cost_cm).sum(axis=1))
        return np.asarray(
            np.einsum("ct,ctm,cm->c", p.load_ct, self.plan.local_ctm, cost_cm, optimize=True)
        )

    @cached_property
    def passes_am(self) -> FloatArray:
        """Passes of each model at the edge of each attachment, for its client."""
        if self.problem.asks_together:
            return self._together.passes_am
        load_at = self.problem.load_ct[self.problem.client_of_a]
        return np.asarray(np.einsum("at,atm->am", load_at, self.plan.edge_atm))

    @cached_property
    def passes_em(self) -> FloatArray:
        """Passes of each model at each edge."""
        if self.problem.asks_together:
            return by_edge(self.problem, self._together.passes_am)
        return self.plan.edge_rate_em(self.problem)

    @cached_property
    def up_bytes_a(self) -> FloatArray:
        """Bytes that leave clients by each attachment."""
        if self.problem.asks_together:
            return self._together.up_bytes_a
        sent_at = self.plan.edge_atm.sum(axis=2) + self.plan.cloud_at
        return np.asarray((self._bytes_at * sent_at).sum(axis=1))

    @cached_property
    def backhaul_bytes_a(self) -> FloatArray:
        """Bytes of these that go on to the cloud."""
        if self.problem.asks_together:
            return self._together.backhaul_bytes_a
        return np.asarray((self._bytes_at * self.plan.cloud_at).sum(axis=1))

    @cached_property
    def cloud_busy(self) -> float:
        """Busy seconds per second of the cloud."""
        p = self.problem
        if p.asks_together:
            return self._together.cloud_busy
        return float((p.load_ct[p.client_of_a] * self.plan.cloud_at * p.cloud_cost_t).sum())

    @cached_property
    def _bytes_at(self) -> FloatArray:
        p = self.problem
        return np.asarray((p.load_ct * p.query_bytes_t)[p.client_of_a])

    @cached_property
    def _together(self) -> _Counted:
        return _count(self.problem, self.plan)


def work_of(problem: Problem, plan: Allocation | PlanWork) -> PlanWork:
    """The work of a plan, which may have been counted already."""
    return plan if isinstance(plan, PlanWork) else PlanWork(problem, plan)


def apart(problem: Problem) -> Problem:
    """The problem with every task asked of an image of its own, as large as the largest that it is
    asked of. A plan that keeps its budgets keeps those of `problem`: nothing takes more passes, and
    no link carries more."""
    bytes_t = problem.query_bytes_t.copy()
    for load in image_loads(problem):
        tasks = list(load.tasks)
        bytes_t[tasks] = np.maximum(bytes_t[tasks], load.image_bytes)
    return without_bundles(problem).changed(query_bytes_t=bytes_t)


def without_bundles(problem: Problem) -> Problem:
    """The problem with the same queries, none of which shares its image with another."""
    return problem.changed(
        bundle_bt=np.zeros((0, len(problem.tasks))),
        bundle_load_cb=np.zeros((len(problem.clients), 0)),
    )


@dataclass(eq=False)
class _Counted:
    """Sums over the ways of all images."""

    answered: Allocation
    """queries/s while they are counted, shares of the loads in the end"""
    passes_cm: FloatArray
    passes_am: FloatArray
    up_bytes_a: FloatArray
    backhaul_bytes_a: FloatArray
    cloud_busy: float = 0.0


def _count(problem: Problem, plan: Allocation) -> _Counted:
    A, M = len(problem.client_of_a), len(problem.models)
    counted = _Counted(
        Allocation.empty(problem), np.zeros((len(problem.clients), M)), np.zeros((A, M)),
        np.zeros(A), np.zeros(A),
    )  # fmt: skip
    counted.answered.onloaded_cm[:] = plan.onloaded_cm
    counted.answered.onloaded_em[:] = plan.onloaded_em
    for load, ways in ways_of(problem, plan):
        for sites, share in ways:
            _add(problem, counted, load, sites, share * load.images_qps)
    load_ct = np.maximum(problem.load_ct, 1e-300)
    load_at = load_ct[problem.client_of_a]
    counted.answered.local_ctm[:] /= load_ct[:, :, None]
    counted.answered.edge_atm[:] /= load_at[:, :, None]
    counted.answered.cloud_at[:] /= load_at
    return counted


def _add(
    problem: Problem, counted: _Counted, load: ImageLoad, sites: dict[int, Site], qps: float
) -> None:
    """Count `qps` images a second of `load` that take one way."""
    answered = counted.answered
    for t, site in sites.items():
        if site.tier == Tier.CLIENT:
            answered.local_ctm[load.client, t, site.model] += qps
        elif site.tier == Tier.EDGE:
            answered.edge_atm[site.attachment, t, site.model] += qps
        else:
            answered.cloud_at[site.attachment, t] += qps
    for site in set(sites.values()):
        if site.tier == Tier.CLIENT:
            counted.passes_cm[load.client, site.model] += qps
        elif site.tier == Tier.EDGE:
            counted.passes_am[site.attachment, site.model] += qps
        else:
            met = [t for t, other in sites.items() if other == site]
            counted.cloud_busy += qps * float(problem.cloud_cost_t[met].max())
    sent_bytes = qps * load.image_bytes
    for a in {site.attachment for site in sites.values() if site.tier != Tier.CLIENT}:
        counted.up_bytes_a[a] += sent_bytes
    for a in {site.attachment for site in sites.values() if site.tier == Tier.CLOUD}:
        counted.backhaul_bytes_a[a] += sent_bytes
