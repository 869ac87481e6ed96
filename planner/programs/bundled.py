"""The program of a problem whose images are asked several tasks (F14), and its bound.

Beside x and y it has, for the images of every load (a client and the tasks asked of each image),
the share that is answered whole and, of each task, the shares answered at each site. A model's
passes over these images are at least each of the shares that it answers, and so are the images on a
link. Where several loads ask a task of the same client, the shares of all are below those of its
routes, and where it is asked alone they are those of its routes. A bundle whose tasks all have such
routes is answered as far as the one that is shed most.

Whatever a router makes of a plan's shares (`shared_ways.lay_out`) satisfies all rows, so the
program's bound holds for every plan. For images of two tasks the router makes as few passes and
uploads as the program counts; for three and more it may need more, and a plan is held to the true
count (`planner/policies/bundled_exact.py`).

Columns are named as `bundled_program` says.
Axis letters: c client, e edge, a attachment, t task, m model, k load, v variable, r row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cluster.topology import Tier
from planner.edge_cost import EdgeCost, edge_cost
from planner.fits import TOLERANCE, fitted, room
from planner.options import EdgeForm, Options
from planner.passes import ImageLoad, Site, hops_of, image_loads
from planner.paths import cloud_open_at, edge_open_at, local_open_cmt
from planner.problem import Problem
from planner.programs.bound import relaxed, trivial_bound_qps
from planner.programs.bundled_program import BundledProgram, Key
from planner.programs.usable_models import usable_models
from planner.solvers import LinearProgram, SolverLimits, solve_program

__all__ = ["build_bundled", "bundled_bound"]

BoolArray = NDArray[np.bool_]
Terms = list[tuple[int, float]]
SitesOf = dict[int, dict[Site, int]]
"""task -> site -> column of the share answered there"""


def build_bundled(
    problem: Problem,
    *,
    fill: float,
    cost: EdgeCost,
    allowed_cm: BoolArray | None = None,
    allowed_em: BoolArray | None = None,
) -> BundledProgram:
    """The program of `problem` with budgets of compute scaled by `fill` and the edge row `cost`.
    `allowed_*` are the models that may be used (all by default)."""
    usable = usable_models(problem, allowed_cm, allowed_em)
    builder = _Builder(problem, fill, cost, *usable)
    loads = image_loads(problem)
    for k, load in enumerate(loads):
        builder.add_load(k, load)
    routes_ct = builder.routes_f2()
    for k, load in enumerate(loads):
        builder.least_served(k, [routes_ct.get((load.client, t)) for t in load.tasks], load.tasks)
    builder.memory_f4()
    builder.client_compute_f5()
    builder.uplinks_f7()
    builder.cloud_compute_f8()
    builder.edge_work_f6_f9()
    return BundledProgram(builder.finish(), builder.columns, loads)


def bundled_bound(problem: Problem, form: EdgeForm, options: Options) -> tuple[float, str]:
    """An upper bound on the right answers/s of every plan of `problem`, whoever made it, by the
    linear relaxation; and how it was found."""
    model = build_bundled(problem, fill=options.fill, cost=edge_cost(problem, form))
    method = f"linear relaxation with shared passes (F14, {'F9' if form == 'batched' else 'F6'})"
    if not model.columns:
        return 0.0, method
    limits = SolverLimits(0.0, options.time_limit_s, options.threads, options.seed)
    result = solve_program(relaxed(model.program), limits, "highs")
    # A plan may take `room` of each budget, so it may be worth so much more.
    return min(result.bound * (1 + TOLERANCE), trivial_bound_qps(problem)), method


class _Builder:
    """Collects columns by key and rows `terms <= limit`."""

    def __init__(
        self,
        problem: Problem,
        fill: float,
        cost: EdgeCost,
        usable_cm: BoolArray,
        usable_em: BoolArray,
    ) -> None:
        self.problem, self.fill, self.cost = problem, fill, cost
        self.usable_cm, self.usable_em = usable_cm, usable_em
        self.local_open_cmt = local_open_cmt(problem)
        self.edge_open_at, self.cloud_open_at = edge_open_at(problem), cloud_open_at(problem)
        self.columns: dict[Key, int] = {}
        self.gain: list[float] = []
        self.upper: list[float] = []
        self.whole: list[bool] = []
        self.rows: list[tuple[Terms, float]] = []
        self.alone: dict[tuple[int, int], dict[Site, int]] = {}
        """client, task -> columns of its shares where it is asked alone"""
        self.together: defaultdict[tuple[int, int], dict[int, dict[Site, int]]] = defaultdict(dict)
        """client, task -> bundle -> columns of the shares that are answered"""
        self.busy: defaultdict[int, Terms] = defaultdict(list)
        """client -> busy seconds per second"""
        self.queries: defaultdict[tuple[int, int], Terms] = defaultdict(list)
        """edge, model -> passes a window"""
        self.sent: defaultdict[Hashable, Terms] = defaultdict(list)
        """hop -> bytes/s"""
        self.cloud: Terms = []
        """busy seconds per second"""

    def column(
        self, *key: Hashable, gain: float = 0.0, upper: float = 1.0, whole: bool = False
    ) -> int:
        """The column of that key, which is made where there is none yet."""
        if key not in self.columns:
            self.columns[key] = len(self.columns)
            self.gain.append(gain)
            self.upper.append(upper)
            self.whole.append(whole)
        return self.columns[key]

    def at_most(self, terms: Terms, limit: float) -> None:
        """A row; nothing where there is no limit."""
        if terms and np.isfinite(limit):
            self.rows.append((terms, limit))

    def most_of(self, key: Key, parts: Sequence[Terms]) -> Terms:
        """Terms that are at least each of `parts`; a column of their own for several."""
        if len(parts) == 1:
            return parts[0]
        most = self.column(*key)
        for part in parts:
            self.at_most([*part, (most, -1.0)], 0.0)
        return [(most, 1.0)]

    def add_load(self, k: int, load: ImageLoad) -> None:
        """Shares of the images of a load, which are answered whole; none if nobody serves one of
        their tasks."""
        sites_t = {t: self._sites(load.client, t) for t in load.tasks}
        if not all(sites_t.values()):
            return
        of_task: SitesOf = {
            t: {
                site: self.column(
                    "answered", k, t, site, gain=load.images_qps * self._accuracy(site, t)
                )
                for site in sites
            }
            for t, sites in sites_t.items()
        }
        for t, of_site in of_task.items():
            own = [(v, 1.0) for v in of_site.values()]
            if len(load.tasks) == 1:
                self.at_most(own, 1.0)
                self.alone[load.client, t] = of_site
            else:
                whole = self.column("whole", k)
                self.at_most([*own, (whole, -1.0)], 0.0)
                self.at_most([(whole, 1.0), *((v, -1.0) for v in of_site.values())], 0.0)
                self.together[load.client, t][k] = of_site
        self._add_passes(k, load, of_task)
        self._add_images(k, load, of_task)

    def _sites(self, c: int, t: int) -> list[Site]:
        """Where a client's task may be answered."""
        p = self.problem
        serves_m = p.accuracy_mt[:, t] > 0
        local = np.flatnonzero(serves_m & self.usable_cm[c] & self.local_open_cmt[c, :, t])
        found = [Site(Tier.CLIENT, -1, m) for m in local.tolist()]
        for a in np.flatnonzero(p.client_of_a == c).tolist():
            if self.edge_open_at[a, t]:
                held = np.flatnonzero(serves_m & self.usable_em[p.edge_of_a[a]])
                found += [Site(Tier.EDGE, a, m) for m in held.tolist()]
            if self.cloud_open_at[a, t] and p.cloud_model_t[t] >= 0:
                found.append(Site(Tier.CLOUD, a, int(p.cloud_model_t[t])))
        return found

    def _accuracy(self, site: Site, t: int) -> float:
        p = self.problem
        in_cloud = site.tier == Tier.CLOUD
        return float(p.cloud_accuracy_t[t] if in_cloud else p.accuracy_mt[site.model, t])

    def _add_passes(self, k: int, load: ImageLoad, of_task: SitesOf) -> None:
        """What the passes over the images of a load cost each site, and F3."""
        p, qps = self.problem, load.images_qps
        for site in dict.fromkeys(site for of_site in of_task.values() for site in of_site):
            met = [t for t, of_site in of_task.items() if site in of_site]
            cost_t = dict.fromkeys(met, 1.0)
            if site.tier == Tier.CLOUD:
                cost_t = {t: float(p.cloud_cost_t[t]) for t in met}
            dearest = max(cost_t.values())
            parts = [[(of_task[t][site], cost_t[t] / (dearest or 1.0))] for t in met]
            ((passes, part),) = self.most_of(("passes", k, site), parts)
            c, m = load.client, site.model
            if site.tier == Tier.CLOUD:
                self.cloud.append((passes, qps * part * dearest))
                continue
            if site.tier == Tier.CLIENT:
                work = qps * float(p.client_setup_cm[c, m] + p.client_marginal_cm[c, m])
                budget = self.fill * float(p.client_compute_c[c])
                self.busy[c].append((passes, work))
                held = self.column("client", c, m, whole=True)
            else:
                e = int(p.edge_of_a[site.attachment])
                queries = qps * float(p.window_e[e])
                work = queries * float(self.cost.marginal_em[e, m])
                budget = self.fill * float(p.edge_compute_e[e] * p.window_e[e])
                self.queries[e, m].append((passes, queries))
                held = self.column("edge", e, m, whole=True)
            # Held down by x itself, a share of 1e-8 that fills a node could have an x of 1e-8.
            most = min(1.0, room(budget) / work) if work > 0 else 1.0
            self.at_most([(passes, 1.0), (held, -most)], 0.0)

    def _add_images(self, k: int, load: ImageLoad, of_task: SitesOf) -> None:
        """What the images of a load bring each link."""
        parts: defaultdict[Hashable, list[Terms]] = defaultdict(list)
        for of_site in of_task.values():
            own: defaultdict[Hashable, Terms] = defaultdict(list)
            for site, v in of_site.items():
                for hop in hops_of(site):
                    if hop is not None:
                        own[hop].append((v, 1.0))
            for hop, several in own.items():
                parts[hop].append(several)
        for hop, each in parts.items():
            images = self.most_of(("images", k, hop), each)
            sent_bytes = load.images_qps * load.image_bytes
            self.sent[hop] += [(v, sent_bytes * part) for v, part in images]

    def routes_f2(self) -> dict[tuple[int, int], dict[Site, int]]:
        """Of a bundle no more is answered at a site than the client's route there takes, and that
        is what is answered of the task where it is asked alone, too. F2 for the routes.

        Returns client, task -> the columns of its routes, for tasks that several loads ask."""
        routes_ct: dict[tuple[int, int], dict[Site, int]] = {}
        for (c, t), bundles in self.together.items():
            routes = self.alone.get((c, t))
            if routes is None:
                if len(bundles) == 1:
                    continue
                sites = next(iter(bundles.values()))
                routes = {site: self.column("share", c, t, site) for site in sites}
                self.at_most([(v, 1.0) for v in routes.values()], 1.0)
            routes_ct[c, t] = routes
            for of_site in bundles.values():
                for site, v in of_site.items():
                    self.at_most([(v, 1.0), (routes[site], -1.0)], 0.0)
        return routes_ct

    def least_served(
        self, k: int, routes: Sequence[dict[Site, int] | None], tasks: Sequence[int]
    ) -> None:
        """A bundle is answered as far as the task of it that is shed most: where all of its tasks
        have routes that other loads follow, too, these leave it no choice."""
        whole = self.columns.get(("whole", k))
        if whole is None or any(of_site is None for of_site in routes):
            return
        least = [self.column("least", k, t, whole=True) for t in tasks]
        self.at_most([(v, -1.0) for v in least], -1.0)
        for of_site, chosen in zip(routes, least, strict=True):
            served = [(v, 1.0) for v in (of_site or {}).values()]
            self.at_most([*served, (chosen, 1.0), (whole, -1.0)], 1.0)

    def memory_f4(self) -> None:
        """Resident bytes of clients and edges."""
        p = self.problem
        for kind, bytes_nm, memory_n in (
            ("client", p.client_model_bytes_cm, p.client_memory_c),
            ("edge", p.edge_model_bytes_em, p.edge_memory_e),
        ):
            for n, memory in enumerate(fitted(memory_n).tolist()):
                held = [
                    (self.columns[kind, n, m], float(bytes_nm[n, m]))
                    for m in range(len(p.models))
                    if (kind, n, m) in self.columns
                ]
                self.at_most(held, memory)

    def client_compute_f5(self) -> None:
        """Busy seconds of clients."""
        for c, terms in self.busy.items():
            self.at_most(terms, self.fill * float(self.problem.client_compute_c[c]))

    def uplinks_f7(self) -> None:
        """Bytes of clients, of attachments with a limit of their own, and of edges."""
        p = self.problem
        for c, limit in enumerate(p.client_uplink_c.tolist()):
            own = np.flatnonzero(p.client_of_a == c).tolist()
            self.at_most([term for a in own for term in self.sent[Tier.EDGE, a]], limit)
        for a, limit in enumerate(p.uplink_a.tolist()):
            self.at_most(self.sent[Tier.EDGE, a], limit)
        for e, limit in enumerate(p.edge_uplink_e.tolist()):
            own = np.flatnonzero(p.edge_of_a == e).tolist()
            self.at_most([term for a in own for term in self.sent[Tier.CLOUD, a]], limit)

    def cloud_compute_f8(self) -> None:
        """Busy seconds of the cloud."""
        self.at_most(self.cloud, self.fill * self.problem.cloud_compute)

    def edge_work_f6_f9(self) -> None:
        """Seconds of work a window brings each edge, and its batches beyond a model's first."""
        p, cost = self.problem, self.cost
        work: defaultdict[int, Terms] = defaultdict(list)
        for (e, m), queries in self.queries.items():
            work[e].append((self.columns["edge", e, m], float(cost.fixed_em[e, m])))
            work[e] += [(v, n * float(cost.marginal_em[e, m])) for v, n in queries]
            most, largest = sum(n for _, n in queries), float(p.edge_max_batch_e[e])
            if cost.further_em is None or most <= largest or cost.further_em[e, m] == 0:
                continue
            upper = float(np.ceil(most / largest))
            further = self.column("batches", e, m, upper=upper, whole=True)
            self.at_most([*queries, (further, -largest)], largest)
            work[e].append((further, float(cost.further_em[e, m])))
        for e, terms in work.items():
            self.at_most(terms, self.fill * float(p.edge_compute_e[e] * p.window_e[e]))

    def finish(self) -> LinearProgram:
        """The rows as a matrix, each divided by its largest number."""
        row: list[int] = []
        column: list[int] = []
        value: list[float] = []
        scale_r, rhs_r = np.ones(len(self.rows)), np.zeros(len(self.rows))
        for r, (terms, limit) in enumerate(self.rows):
            largest = max(abs(limit), *(abs(entry) for _, entry in terms))
            scale_r[r] = 1.0 / largest if largest > 0 else 1.0
            rhs_r[r] = limit * scale_r[r]
            for v, entry in terms:
                row.append(r)
                column.append(v)
                value.append(entry * scale_r[r])
        shape = (len(self.rows), len(self.columns))
        matrix = sp.csc_matrix((value, (row, column)), shape=shape)
        matrix.eliminate_zeros()
        return LinearProgram(
            np.array(self.gain), np.array(self.upper), np.array(self.whole, dtype=bool),
            matrix, rhs_r, scale_r,
        )  # fmt: skip
