"""A component in the kernels' form: its clients' model sets, its edges' useful models, the cuts.

Every price vector (rho, sigma) gives, by exact client subproblems, a number C such that no plan
whose edges run the models A is worth more than C + sum_e E_A(rho_e): a cut on the value of every A.
Axis letters: c client, e edge, j model at an edge, t task, m model, x edge and task (e T + t),
k cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from planner.attachments import by_edge
from planner.decomposition.best_set import SetBounds, price_clients
from planner.decomposition.client_sets import client_sets, clients_of
from planner.decomposition.edge_kernel import EdgeModels, edge_values
from planner.decomposition.edge_sets import OUT_OF_NODES, Tree, new_tree, select_set
from planner.decomposition.grown import Grown
from planner.decomposition.levels import EdgeBudgets, LinearCuts
from planner.decomposition.master import Master
from planner.decomposition.searched_clients import SearchedClients
from planner.decomposition.visited import Visited
from planner.decomposition.ways_out import WaysOut
from planner.edge_cost import EdgeCost
from planner.fits import room
from planner.paths import edge_limit_at
from planner.problem import FloatArray, Problem

__all__ = ["ROUNDING_UP", "ComponentData", "SearchOptions"]

BoolArray = NDArray[np.bool_]
NODE_LIMIT = 3_000_000
WORK_OF_A_SECOND = 3e8
"""of such a search: nodes times cuts times models times tasks"""
ENOUGH = 30
"""nodes after which a choice above the threshold is good enough to look at, though not the best"""
LATEST_CUTS, TIGHT_CUTS, KEPT_PRICES = 4, 2, 8
ROUNDING_UP = 1 + 1e-12
"""Covers the rounding errors of the sums in double precision."""


@dataclass(frozen=True)
class SearchOptions:
    """Options of the search of one component; `cloud_price` is charged per busy second of the
    cloud (F8)."""

    fill: float
    gap: float
    time_limit_s: float
    cloud_price: float = 0.0
    polish: bool = True


class Priced(NamedTuple):
    """What the clients say to prices."""

    clients: float
    """C, right answers/s"""
    k: int
    """the number of the price vector"""
    fresh: bool
    """whether any column of theirs was not known"""


class Cuts:
    """Cuts on the value of the edges' models; `eta_e` linearise E_A of a price vector."""

    def __init__(self, edges: int, tasks: int, models: int) -> None:
        self.clients_k, self.price_kx = Grown(), Grown(edges * tasks)
        self.backhaul_ke = Grown(edges)
        self.base_k, self.gain_kjt, self.cost_kj = Grown(), Grown(models, tasks), Grown(models)
        self.origin_k: list[tuple[int, FloatArray]] = []
        """(price vector, eta_e) of each linear cut."""


class ComponentData:
    """Data of a component (F8 priced); its edges' models are reduced to those that can matter.

    Of a client whose memory allows few model sets all of them are enumerated; those of the others
    are searched at every price (`searched`).
    """

    def __init__(self, problem: Problem, cost: EdgeCost, options: SearchOptions) -> None:
        p = problem
        self.problem, self.cost, self.options = p, cost, options
        self.batched = cost.batches(p)
        every = _edge_models(p, cost, options.fill)
        kept = [_useful(edge, p.edge_moving_em[e]) for e, edge in enumerate(every)]
        self.edges = [edge.of(m) for edge, m in zip(every, kept, strict=True)]
        self.edge_j = np.repeat(np.arange(len(kept)), [len(m) for m in kept])
        self.m_j = np.concatenate(kept)
        ends = np.cumsum([0, *(len(m) for m in kept)]).tolist()
        self.own = [slice(start, stop) for start, stop in pairwise(ends)]
        """Which j are models of edge e."""
        self.charge_j = p.edge_moving_em[self.edge_j, self.m_j]
        self.accuracy_jt = np.concatenate([edge.accuracy_mt for edge in self.edges])
        self.bytes_j = np.concatenate([edge.bytes_m for edge in self.edges])
        self.fixed_j = np.concatenate([edge.fixed_m for edge in self.edges])
        self.work_j = np.concatenate([edge.work_m for edge in self.edges])
        self.cap_jt = np.array([edge.cap_t for edge in self.edges])[self.edge_j]
        self.memory_e = np.array([edge.memory for edge in self.edges])
        self.window_e = np.array([edge.window for edge in self.edges])
        self.ways = WaysOut(p, options.cloud_price)
        self.clients = clients_of(p, self.ways.uplink_c, fill=options.fill, gap=options.gap)
        self.sets, searched_c = client_sets(p, self.clients)
        self.searched = SearchedClients(p, self.clients, searched_c)
        self.known = SetBounds(
            np.full(self.sets.first_set_c[-1], np.inf), np.full(p.load_ct.shape, np.inf),
            np.zeros(len(p.clients), dtype=np.int64),
        )  # fmt: skip
        self.master = Master(
            self.edges, self.charge_j, backhaul_e=p.edge_uplink_e, clients=len(p.clients)
        )
        self.cuts = Cuts(len(kept), len(p.tasks), len(self.m_j))
        self.visited = Visited(self.own)
        self.out_of_time = False
        """Whether a search of edge models ended for want of time."""

    def price(self, service_x: FloatArray, backhaul_e: FloatArray) -> Priced:
        """C at these prices; every client's best column joins the master, C joins the cuts."""
        columns = len(self.master.columns)
        ways = self.ways.best(service_x, backhaul_e)
        value_c, routing_cr = price_clients(self.clients, self.sets, ways.offers, self.known)
        chosen_c = self.known.best_set_c.copy()
        self.searched.price(ways.offers, value_c, routing_cr, chosen_c)
        self.master.add(chosen_c, self.ways.columns(routing_cr, ways))
        priced_e = backhaul_e > 0  # a link may be without limit, and 0 * inf is no number
        links = float((backhaul_e[priced_e] * self.problem.edge_uplink_e[priced_e]).sum())
        total = (float(value_c.sum()) + links) * ROUNDING_UP
        self.cuts.clients_k.append(total)
        self.cuts.price_kx.append(service_x)
        self.cuts.backhaul_ke.append(backhaul_e)
        return Priced(total, len(self.cuts.clients_k) - 1, len(self.master.columns) > columns)

    def linearise(self, k: int, eta_e: FloatArray) -> None:
        """Cut k, linear in the gains of models, at the prices `eta_e` of work (see edge_sets)."""
        eta_j = eta_e[self.edge_j]
        price_et = self.cuts.price_kx.rows[k].reshape(len(self.edges), -1)
        net_jt = self.accuracy_jt - price_et[self.edge_j] - (eta_j * self.work_j)[:, None]
        gain_jt = np.where(self.accuracy_jt > 0, np.maximum(net_jt, 0.0) * self.cap_jt, 0.0)
        base = (float(self.cuts.clients_k.rows[k]) + float(eta_e @ self.window_e)) * ROUNDING_UP
        cost_j = eta_j * self.fixed_j + self.charge_j
        self.cuts.base_k.append(base)
        self.cuts.gain_kjt.append(gain_jt)
        self.cuts.cost_kj.append(cost_j)
        self.cuts.origin_k.append((k, eta_e))
        self.visited.cut(base, gain_jt, cost_j)

    def earns(self, active_j: BoolArray, k: int) -> tuple[float, FloatArray]:
        """(sum_e E_A less what loading A costs, eta_e) at the prices of cut k."""
        value_k, eta_ke = self._earned(active_j, self.cuts.price_kx.rows[k : k + 1])
        return float(value_k[0]), eta_ke[0]

    def bound_of(self, active_j: BoolArray) -> tuple[float, int, FloatArray]:
        """min_k C_k + sum_e E_A(rho_ke), less what loading A costs (F16), the k where it is
        reached, and its eta_e. No plan whose edges hold A is worth more (F10)."""
        value_k, eta_ke = self._earned(active_j, self.cuts.price_kx.rows)
        bound_k = self.cuts.clients_k.rows + value_k
        k = int(bound_k.argmin())
        return float(bound_k[k]), k, eta_ke[k]

    def _earned(self, active_j: BoolArray, price_kx: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(sum_e E_A less what loading A costs, eta_e) at each price vector."""
        E = len(self.edges)
        value_k = np.full(len(price_kx), -float(self.charge_j[active_j].sum()))
        eta_ke = np.empty((len(price_kx), E))
        price_ket = price_kx.reshape(len(price_kx), E, -1)
        for e, (edge, own) in enumerate(zip(self.edges, self.own, strict=True)):
            held = np.flatnonzero(active_j[own])
            earned_k, eta_ke[:, e] = edge_values(held, edge, np.ascontiguousarray(price_ket[:, e]))
            value_k += earned_k
        return value_k, eta_ke

    def fractional_value(self, k: int, memory_price_e: FloatArray) -> float:
        """Bound on sum_e E_A over all sets A at cut k as last linearised, memory priced."""
        cuts = self.cuts
        gain_j = cuts.gain_kjt.rows[-1].sum(axis=1) - cuts.cost_kj.rows[-1]
        held_e = self.memory_e[self.edge_j]
        share_j = np.divide(self.bytes_j, held_e, out=np.zeros_like(held_e), where=held_e > 0)
        net_j = gain_j - memory_price_e[self.edge_j] * share_j
        eta_window = float(cuts.base_k.rows[-1] - cuts.clients_k.rows[k])
        return float(np.maximum(net_j, 0.0).sum()) + eta_window + float(memory_price_e.sum())

    def members(self, c: int, chosen: int) -> NDArray[np.int64]:
        """Models of a set of client c."""
        if c in self.searched:
            return self.searched.members(c, chosen)
        sets = self.sets
        s = sets.first_set_c[c] + chosen
        return sets.members[sets.first_member_s[s] : sets.first_member_s[s + 1]]

    def full_mask(self, active_j: BoolArray) -> BoolArray:
        """A set of the reduced models as a mask over all, e x m."""
        mask_em = np.zeros(self.problem.edge_model_bytes_em.shape, dtype=bool)
        mask_em[self.edge_j[active_j], self.m_j[active_j]] = True
        return mask_em

    def select(
        self, tree: Tree, threshold: float, left_s: float, *, best: bool = False,
        most_nodes: int = NODE_LIMIT,
    ) -> tuple[float, BoolArray, int]:  # fmt: skip
        """Edge models whose bound is above `threshold`, as of `select_set`: the first good ones
        from where `tree` stands, or the `best`, looked for about `left_s` seconds and on
        `most_nodes` nodes at most."""
        cuts = self.cuts
        base_k, gain_kjt, cost_kj = cuts.base_k.rows, cuts.gain_kjt.rows, cuts.cost_kj.rows
        # The latest cuts and the lowest of every choice visited; fewer cuts search faster.
        latest = range(max(len(base_k) - LATEST_CUTS, 0), len(base_k))
        kept = np.array(sorted(self.visited.tightest(TIGHT_CUTS).union(latest)), dtype=np.int64)
        linear = LinearCuts(base_k[kept], gain_kjt[kept], cost_kj[kept])
        budgets = EdgeBudgets(
            self.edge_j, self.bytes_j, self.memory_e, self.fixed_j, room(self.window_e)
        )
        work = max(linear.gain_kjt.size, 1)
        nodes_left = int(min(most_nodes, WORK_OF_A_SECOND * left_s / work))
        value, active_j, nodes = select_set(
            linear, budgets, tree, threshold, nodes_left, 0 if best else ENOUGH
        )
        self.out_of_time |= nodes == OUT_OF_NODES and nodes_left < most_nodes
        self.visit(active_j)
        return value, active_j, nodes

    def tree(self) -> Tree:
        """A search of the edges' models that is to begin."""
        return new_tree(len(self.m_j), np.inf)

    def loose_bound(self) -> float:
        """The component's bound by the linear cuts, as if its edges' models all fitted."""
        cuts = self.cuts
        net_kj = cuts.gain_kjt.rows.sum(axis=2) - cuts.cost_kj.rows
        return float((cuts.base_k.rows + np.maximum(net_kj, 0.0).sum(axis=1)).min(initial=np.inf))

    def likely_models(self) -> BoolArray:
        """A choice that fits: of each edge the models of which the master loads most."""
        self.master.fix_models(None)
        self.master.solve()
        active_j = np.zeros(len(self.m_j), dtype=bool)
        left_e, window_left_e = self.memory_e.copy(), room(self.window_e)
        for j in np.argsort(-self.master.loaded_j(), kind="stable"):
            e = self.edge_j[j]
            if self.bytes_j[j] <= left_e[e] and self.fixed_j[j] <= window_left_e[e]:
                active_j[j] = True
                left_e[e] -= self.bytes_j[j]
                window_left_e[e] -= self.fixed_j[j]
        return active_j

    def visit(self, active_j: BoolArray) -> None:
        """Count a choice among those looked at."""
        cuts = self.cuts
        self.visited.add(active_j, cuts.base_k.rows, cuts.gain_kjt.rows, cuts.cost_kj.rows)

    def useful_prices(self) -> FloatArray:
        """Rows (rho_x..., sigma_e..., eta_e...) of the cuts that bound the most promising sets: a
        start for the same component after its load has changed."""
        E = len(self.edges)
        if not len(self.visited):
            return np.zeros((0, len(self.master.scale_x) + 2 * E))
        bound_vk = np.array([self.visited.bound_k(v) for v in range(len(self.visited))])
        promising = np.argsort(-bound_vk.min(axis=1))
        chosen = dict.fromkeys(int(bound_vk[v].argmin()) for v in promising)
        rows = []
        for cut in list(chosen)[:KEPT_PRICES]:
            k, eta_e = self.cuts.origin_k[cut]
            rows.append([*self.cuts.price_kx.rows[k], *self.cuts.backhaul_ke.rows[k], *eta_e])
        return np.array(rows)


def _edge_models(problem: Problem, cost: EdgeCost, fill: float) -> list[EdgeModels]:
    """All models of each edge."""
    p = problem
    window_e = fill * p.edge_compute_e * p.window_e
    cap_et = by_edge(p, edge_limit_at(p))
    return [
        EdgeModels(
            accuracy_mt=p.accuracy_mt,
            bytes_m=p.edge_model_bytes_em[e],
            fixed_m=cost.fixed_em[e],
            work_m=p.window_e[e] * cost.marginal_em[e],
            cap_t=cap_et[e],
            memory=room(float(p.edge_memory_e[e])),
            window=float(window_e[e]),
            excess=room(float(window_e[e])) - float(window_e[e]),
        )
        for e in range(len(p.edges))
    ]


def _useful(edge: EdgeModels, charge_m: FloatArray) -> NDArray[np.int64]:
    """Models m that fit, serve something asked, and that no other beats in everything, what
    loading it costs included (F16)."""
    accuracy_mt = np.where(edge.cap_t > 0, edge.accuracy_mt, 0.0)
    bytes_m, fixed_m, work_m = edge.bytes_m, edge.fixed_m, edge.work_m
    fits_m = (
        (bytes_m <= edge.memory) & (fixed_m <= room(edge.window)) & (accuracy_mt > 0).any(axis=1)
    )
    m = np.flatnonzero(fits_m)
    cost_mx = np.stack([bytes_m[m], fixed_m[m], work_m[m], charge_m[m]], axis=1)
    held_mt = accuracy_mt[m]
    # By pairs (i, j): whether j is as good as i in everything, and better in something.
    as_good_ij = (cost_mx[None] <= cost_mx[:, None]).all(axis=2)
    as_good_ij &= (held_mt[None] >= held_mt[:, None]).all(axis=2)
    better_ij = (cost_mx[None] < cost_mx[:, None]).any(axis=2)
    better_ij |= (held_mt[None] > held_mt[:, None]).any(axis=2)
    better_ij |= np.tri(len(m), k=-1, dtype=bool)  # of two that are equal, the first stays
    beaten_i = (as_good_ij & better_ij).any(axis=1)
    return np.asarray(m[~beaten_i])
