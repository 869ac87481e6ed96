"""One edge in the kernels' form: its clients' model sets, its useful models, and the cuts.

Every price vector (rho, sigma) gives, by exact client subproblems, a number C such that no plan
whose edge runs the models A is worth more than C + E_A(rho): a cut on the value of every A.
Axis letters: c client, t task, m model, k cut.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from planner.decomposition.best_set import Clients, Offers, SetBounds, price_clients
from planner.decomposition.edge_kernel import EdgeModels, edge_value, lowest_bound
from planner.decomposition.edge_sets import EdgeBudgets, LinearCuts, select_set
from planner.decomposition.master import Master
from planner.decomposition.model_sets import ModelSets, enumerate_sets
from planner.edge_cost import EdgeCost
from planner.fits import room
from planner.paths import (
    carries_nt,
    cloud_open_at,
    edge_limit_at,
    edge_open_at,
    has_deadlines,
    link_a,
    local_open_cmt,
)
from planner.problem import FloatArray, Problem

__all__ = ["ROUNDING_UP", "EdgeData", "EdgeOptions"]

BoolArray = NDArray[np.bool_]
SET_LIMIT = 100_000
KEPT_BYTES = 64 << 20
"""of clients' model sets, kept from plan to plan"""
NODE_LIMIT = 3_000_000
LATEST_CUTS, KEPT_PRICES = 4, 8
ROUNDING_UP = 1 + 1e-12
"""Covers the rounding errors of the sums in double precision."""


Sets = tuple[NDArray[np.int64], NDArray[np.int64]]


class _KnownSets:
    """Model sets of clients that were planned for before, up to `KEPT_BYTES`."""

    def __init__(self) -> None:
        self.of: dict[tuple[object, ...], Sets] = {}
        self._bytes = 0

    def keep(self, key: tuple[object, ...], sets: Sets) -> None:
        """Keep `sets`; where there is no room, those before are forgotten."""
        size = sum(found.nbytes for found in sets)
        if self._bytes + size > KEPT_BYTES:
            self.of.clear()
            self._bytes = 0
        self.of[key] = sets
        self._bytes += size


_known_sets = _KnownSets()


@dataclass(frozen=True)
class EdgeOptions:
    """Options of one edge's search; `cloud_price` is charged per busy second of the cloud (F8)."""

    fill: float
    gap: float
    time_limit_s: float
    cloud_price: float = 0.0
    polish: bool = True


@dataclass
class Cuts:
    """Cuts on the value of edge model sets; `eta` linearises E_A of a price vector."""

    clients_k: list[float] = field(default_factory=list)
    price_kt: list[FloatArray] = field(default_factory=list)
    base_k: list[float] = field(default_factory=list)
    gain_kmt: list[FloatArray] = field(default_factory=list)
    cost_km: list[FloatArray] = field(default_factory=list)
    origin_k: list[tuple[int, float]] = field(default_factory=list)
    """(price vector, eta) of each linear cut."""


class EdgeData:
    """Data of one edge (F8 priced); its models are reduced to those that can matter.

    The problem is a component of one edge: attachments and clients are the same, in one order.

    A client whose memory allows more than `SET_LIMIT` model sets is bounded as if it held every
    model (`roomy_c`): a truncated enumeration would be no bound, this is one.
    """

    def __init__(self, problem: Problem, cost: EdgeCost, options: EdgeOptions) -> None:
        p = problem
        self.problem, self.cost, self.options = p, cost, options
        self.edge_open_ct = self.cloud_open_ct = np.ones(p.load_ct.shape, dtype=bool)
        if has_deadlines(p):
            self.edge_open_ct, self.cloud_open_ct = edge_open_at(p), cloud_open_at(p)
        self.batched = cost.batches(p)
        every = _edge_models(p, cost, options.fill)
        self.m = _useful(every, p.edge_moving_em[0])
        self.charge_m = p.edge_moving_em[0][self.m]
        self.models = EdgeModels(
            np.ascontiguousarray(every.accuracy_mt[self.m]), every.bytes_m[self.m],
            every.fixed_m[self.m], every.work_m[self.m], every.cap_t, every.memory, every.window,
            every.excess,
        )  # fmt: skip
        cloud_net_t = p.cloud_accuracy_t - options.cloud_price * p.cloud_cost_t
        self.backhaul_limit = float(p.edge_uplink_e[0])
        in_reach_t = (p.cloud_model_t >= 0) & carries_nt(p, p.edge_uplink_e)[0]
        self.cloud_net_t = np.where(in_reach_t, cloud_net_t, 0.0)
        self.clients = _clients(p, options)
        self.sets, self.roomy_c = _model_sets(p, self.clients)
        self.known = SetBounds(
            np.full(self.sets.first_set_c[-1], np.inf), np.full(p.load_ct.shape, np.inf),
            np.zeros(len(p.clients), dtype=np.int64),
        )  # fmt: skip
        self.master = Master(
            self.models, self.charge_m, backhaul=self.backhaul_limit, clients=len(p.clients)
        )
        self.cuts = Cuts()
        self.backhaul_k: list[float] = []
        self.visited: list[BoolArray] = []

    def price(self, service_t: FloatArray, backhaul: float) -> float:
        """C at these prices; every client's best column joins the master, C joins the cuts."""
        cloud_t = self.cloud_net_t - backhaul * self.problem.query_bytes_t
        edge_ct = np.where(self.edge_open_ct, service_t, 0.0)
        cloud_ct = np.where(self.cloud_open_ct, cloud_t, 0.0)
        remote_ct = np.maximum(np.maximum(edge_ct, cloud_ct), 0.0)
        offers = Offers(remote_ct, cloud_ct > edge_ct, self.cloud_net_t)
        value_c, routing_c = price_clients(self.clients, self.sets, offers, self.known)
        self.master.add(self.known.best_set_c, routing_c)
        total = float(value_c.sum()) + (backhaul * self.backhaul_limit if backhaul > 0 else 0.0)
        total *= ROUNDING_UP
        self.cuts.clients_k.append(total)
        self.cuts.price_kt.append(service_t)
        self.backhaul_k.append(backhaul)
        return total

    def linearise(self, k: int, eta: float) -> None:
        """Cut k, linear in the gains of models, at the price `eta` of work (see edge_sets)."""
        edge = self.models
        net_mt = edge.accuracy_mt - self.cuts.price_kt[k] - eta * edge.work_m[:, None]
        gain_mt = np.where(edge.accuracy_mt > 0, np.maximum(net_mt, 0.0) * edge.cap_t, 0.0)
        self.cuts.base_k.append((self.cuts.clients_k[k] + eta * edge.window) * ROUNDING_UP)
        self.cuts.gain_kmt.append(gain_mt)
        self.cuts.cost_km.append(eta * edge.fixed_m + self.charge_m)
        self.cuts.origin_k.append((k, eta))

    def earns(self, active_m: BoolArray, k: int) -> tuple[float, float]:
        """(E_A less what loading A costs, eta) at the prices of cut k."""
        value, eta = edge_value(np.flatnonzero(active_m), self.models, self.cuts.price_kt[k])
        return value - float(self.charge_m[active_m].sum()), eta

    def bound_of(self, active_m: BoolArray) -> tuple[float, int, float]:
        """min_k C_k + E_A(rho_k), less what loading A costs (F16), the k where it is reached, and
        its eta."""
        clients_k, price_kt = np.array(self.cuts.clients_k), np.array(self.cuts.price_kt)
        bound, k, eta = lowest_bound(np.flatnonzero(active_m), self.models, clients_k, price_kt)
        return bound - float(self.charge_m[active_m].sum()), k, eta

    def fractional_value(self, k: int, memory_price: float) -> float:
        """Bound on E_A over all sets A at cut k as last linearised, memory priced."""
        gain_m = self.cuts.gain_kmt[-1].sum(axis=1) - self.cuts.cost_km[-1]
        edge = self.models
        share_m = edge.bytes_m / edge.memory if edge.memory > 0 else np.zeros(len(self.m))
        eta_window = self.cuts.base_k[-1] - self.cuts.clients_k[k]
        return float(np.maximum(gain_m - memory_price * share_m, 0.0).sum()) + (
            eta_window + memory_price
        )

    def members(self, c: int, chosen: int) -> NDArray[np.int64]:
        """Models of a set of client c."""
        sets = self.sets
        s = sets.first_set_c[c] + chosen
        return sets.members[sets.first_member_s[s] : sets.first_member_s[s + 1]]

    def full_mask(self, active_m: BoolArray) -> BoolArray:
        """A set of the reduced models as a mask over all."""
        mask_m = np.zeros(len(self.problem.models), dtype=bool)
        mask_m[self.m[active_m]] = True
        return mask_m

    def select(self, threshold: float) -> tuple[float, BoolArray, int]:
        """The model set with the highest bound above `threshold`."""
        cuts, edge = self.cuts, self.models
        base_k, cost_km = np.array(cuts.base_k), np.array(cuts.cost_km)
        gain_kmt = np.array(cuts.gain_kmt)
        kept = self._tight(base_k, gain_kmt, cost_km)
        density_m = cuts.gain_kmt[-1].sum(axis=1) / np.maximum(edge.bytes_m, 1e-300)
        order = np.argsort(-density_m, kind="stable")
        linear = LinearCuts(
            base_k[kept],
            np.ascontiguousarray(gain_kmt[kept][:, order]),
            np.ascontiguousarray(cost_km[kept][:, order]),
        )
        limit = room(edge.window)
        budgets = EdgeBudgets(edge.bytes_m[order], edge.memory, edge.fixed_m[order], limit)
        value, chosen_m, nodes = select_set(linear, budgets, threshold, NODE_LIMIT)
        active_m = np.zeros(len(order), dtype=bool)
        active_m[order] = chosen_m
        self.visited.append(active_m)
        return value, active_m, nodes

    def visited_above(
        self, threshold: float, left_out: Collection[bytes]
    ) -> tuple[float, BoolArray] | None:
        """The set visited before, and not `left_out`, whose bound by linear cuts is the highest,
        with that bound; None where no such set has one above `threshold`."""
        best: tuple[float, BoolArray] | None = None
        for active_m in self.visited:
            if active_m.tobytes() in left_out:
                continue
            bound = float(self._linear_bounds(active_m).min())
            if bound > (threshold if best is None else best[0]):
                best = bound, active_m
        return best

    def useful_prices(self) -> FloatArray:
        """Rows (rho_t..., sigma, eta) of the cuts that bound the most promising sets: a start
        for the same edge after its load has changed."""
        if not self.visited:
            return np.zeros((0, len(self.models.cap_t) + 2))
        bound_vk = np.array([self._linear_bounds(active_m) for active_m in self.visited])
        promising = np.argsort(-bound_vk.min(axis=1))
        chosen = dict.fromkeys(int(bound_vk[v].argmin()) for v in promising)
        rows = []
        for cut in list(chosen)[:KEPT_PRICES]:
            k, eta = self.cuts.origin_k[cut]
            rows.append([*self.cuts.price_kt[k], self.backhaul_k[k], eta])
        return np.array(rows)

    def _linear_bounds(self, active_m: BoolArray) -> FloatArray:
        cuts = self.cuts
        covered_k = np.array(cuts.gain_kmt)[:, active_m].max(axis=1, initial=0.0).sum(axis=1)
        cost_k = np.array(cuts.cost_km)[:, active_m].sum(axis=1)
        bound_k: FloatArray = np.array(cuts.base_k) - cost_k + covered_k
        return bound_k

    def _tight(
        self, base_k: FloatArray, gain_kmt: FloatArray, cost_km: FloatArray
    ) -> NDArray[np.int64]:
        """The latest cuts and the lowest two of every set visited; fewer cuts search faster."""
        kept = set(range(max(len(base_k) - LATEST_CUTS, 0), len(base_k)))
        for active_m in self.visited:
            covered_k = gain_kmt[:, active_m].max(axis=1, initial=0.0).sum(axis=1)
            bound_k = base_k - cost_km[:, active_m].sum(axis=1) + covered_k
            kept |= set(np.argsort(bound_k)[:2].tolist())
        return np.array(sorted(kept), dtype=np.int64)


def _clients(problem: Problem, options: EdgeOptions) -> Clients:
    p = problem
    accuracy_cmt = np.array(p.accuracy_mt)[None]
    if has_deadlines(p):
        accuracy_cmt = np.where(local_open_cmt(p), p.accuracy_mt, 0.0)
    # Writable copies: the kernels are compiled once, for one kind of array.
    load_ct = np.array(p.load_ct)
    return Clients(
        accuracy_cmt=accuracy_cmt,
        cost_cm=p.client_setup_cm + p.client_marginal_cm,
        load_ct=load_ct,
        compute_c=options.fill * p.client_compute_c,
        uplink_c=link_a(p),
        query_bytes_t=np.array(p.query_bytes_t),
        # A client's optimum is found to a small part of the gap asked for; the bound includes it.
        tolerance_c=(0.01 * options.gap + 1e-9) * np.maximum(load_ct.sum(axis=1), 1e-9),
    )


def _model_sets(problem: Problem, clients: Clients) -> tuple[ModelSets, BoolArray]:
    """All maximal model sets of all clients, and which clients are bounded as if they held every
    model at no charge, because their sets are too many (`roomy_c`)."""
    C = len(problem.clients)
    bytes_cm = np.array(problem.client_model_bytes_cm)
    charge_cm = np.array(problem.client_moving_cm)
    charges: list[FloatArray] = []
    roomy_c = np.zeros(C, dtype=bool)
    first_set, starts, members, count = [0], [np.zeros(1, dtype=np.int64)], [], 0
    for c in range(C):
        memory = room(float(problem.client_memory_c[c]))
        accuracy_mt = clients.accuracy_cmt[min(c, len(clients.accuracy_cmt) - 1)]
        start, found = _sets_of(
            bytes_cm[c], clients.cost_cm[c], accuracy_mt, clients.load_ct[c] > 0, memory,
            charge_cm[c],
        )  # fmt: skip
        if len(start) == 0:
            roomy_c[c] = True
            found = np.flatnonzero(bytes_cm[c] <= memory)
            start = np.array([0, len(found)])
            charges.append(np.zeros(1))
        else:
            charges.append(_sums(charge_cm[c][found], start))
        first_set.append(first_set[-1] + len(start) - 1)
        starts.append(start[1:] + count)
        members.append(found)
        count += len(found)
    sets = ModelSets(
        np.array(first_set), np.concatenate(starts), np.concatenate(members),
        np.concatenate(charges),
    )  # fmt: skip
    return sets, roomy_c


def _sets_of(
    bytes_m: FloatArray, cost_m: FloatArray, accuracy_mt: FloatArray, asked_t: BoolArray,
    memory: float, charge_m: FloatArray,
) -> Sets:  # fmt: skip
    """`enumerate_sets`, kept: loads change and clients' models stay, so the next plan finds the
    sets of this one."""
    rows = (bytes_m, cost_m, accuracy_mt, asked_t, charge_m)
    key = (memory, SET_LIMIT, *(row.tobytes() for row in rows))
    known = _known_sets.of.get(key)
    if known is None:
        known = enumerate_sets(bytes_m, cost_m, accuracy_mt, asked_t, memory, SET_LIMIT, charge_m)
        for found in known:
            found.setflags(write=False)
        _known_sets.keep(key, known)
    return known


def _sums(value_j: FloatArray, start: NDArray[np.int64]) -> FloatArray:
    """Sum of each stretch start[s] ... start[s + 1] - 1 of `value_j`; 0 for an empty one."""
    sums = np.zeros(len(start) - 1)
    some = np.diff(start) > 0
    if some.any():
        sums[some] = np.add.reduceat(value_j, start[:-1][some])
    return sums


def _edge_models(problem: Problem, cost: EdgeCost, fill: float) -> EdgeModels:
    """All models of the problem's one edge."""
    p = problem
    window = fill * float(p.edge_compute_e[0] * p.window_e[0])
    return EdgeModels(
        accuracy_mt=p.accuracy_mt,
        bytes_m=p.edge_model_bytes_em[0],
        fixed_m=cost.fixed_em[0],
        work_m=p.window_e[0] * cost.marginal_em[0],
        cap_t=edge_limit_at(p).sum(axis=0),
        memory=room(float(p.edge_memory_e[0])),
        window=window,
        excess=room(window) - window,
    )


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
