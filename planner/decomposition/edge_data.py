"""One edge in the kernels' form: its clients' model sets, its useful models, and the cuts.

Every price vector (rho, sigma) gives, by exact client subproblems, a number C such that no plan
whose edge runs the models A is worth more than C + E_A(rho): a cut on the value of every A.
Axis letters: c client, t task, m model, k cut.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from planner.decomposition.client_kernel import enumerate_sets, price_clients
from planner.decomposition.edge_kernel import edge_value, select_set
from planner.decomposition.master import Master
from planner.edge_cost import EdgeCost
from planner.paths import (
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
NODE_LIMIT = 3_000_000
LATEST_CUTS, KEPT_PRICES = 4, 8
ROUNDING_UP = 1 + 1e-12
"""Covers the rounding errors of the sums in double precision."""


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
        # Writable copies: the kernels are compiled once, for one kind of array.
        self.load_ct = np.array(p.load_ct)
        self.accuracy_cmt = np.array(p.accuracy_mt)[None]
        self.edge_open_ct = self.cloud_open_ct = np.ones(p.load_ct.shape, dtype=bool)
        if has_deadlines(p):
            self.accuracy_cmt = np.where(local_open_cmt(p), p.accuracy_mt, 0.0)
            self.edge_open_ct, self.cloud_open_ct = edge_open_at(p), cloud_open_at(p)
        self.query_bytes_t, self.cloud_cost_t = np.array(p.query_bytes_t), np.array(p.cloud_cost_t)
        self.client_bytes_cm = np.array(p.client_model_bytes_cm)
        self.batched = bool(np.any(cost.fixed_em != 0)) or not np.any(p.edge_setup_em)
        self.cap_t = edge_limit_at(p).sum(axis=0)
        self.window = options.fill * float(p.edge_compute_e[0] * p.window_e[0])
        self.memory = float(p.edge_memory_e[0])
        work_m = p.window_e[0] * cost.marginal_em[0]
        self.m = _useful(p, cost.fixed_em[0], work_m, self.cap_t, self.memory, self.window)
        self.accuracy_mt = np.ascontiguousarray(p.accuracy_mt[self.m])
        self.fixed_m, self.work_m = cost.fixed_em[0][self.m], work_m[self.m]
        self.bytes_m = p.edge_model_bytes_em[0][self.m]
        self.client_cost_cm = p.client_setup_cm + p.client_marginal_cm
        self.cloud_net_t = p.cloud_accuracy_t - options.cloud_price * p.cloud_cost_t
        self.uplink = float(p.edge_uplink_e[0])
        in_reach_t = (p.cloud_model_t >= 0) & (self.uplink > 0)
        self.cloud_net_t = np.where(in_reach_t, self.cloud_net_t, 0.0)
        self._enumerate()
        self.last_remote_ct = np.full(p.load_ct.shape, np.inf)
        # A client's optimum is found to a small part of the gap asked for; the bound includes it.
        self.tolerance_c = (0.01 * options.gap + 1e-9) * np.maximum(self.load_ct.sum(axis=1), 1e-9)
        self.master = Master(
            self.accuracy_mt, self.fixed_m, self.work_m, self.bytes_m, self.cap_t,
            window=self.window, memory=self.memory, backhaul=self.uplink, clients=len(p.clients),
        )  # fmt: skip
        self.cuts = Cuts()
        self.backhaul_k: list[float] = []
        self.visited: list[BoolArray] = []

    def _enumerate(self) -> None:
        """All model sets of all clients, one after another: `first_set_c`, `start`, `members`."""
        p = self.problem
        self.roomy_c = np.zeros(len(p.clients), dtype=bool)
        first, starts, members, count = [0], [np.zeros(1, dtype=np.int64)], [], 0
        for c in range(len(p.clients)):
            start, found = enumerate_sets(
                self.client_bytes_cm[c], self.client_cost_cm[c],
                self.accuracy_cmt[min(c, len(self.accuracy_cmt) - 1)],
                self.load_ct[c] > 0, float(p.client_memory_c[c]), SET_LIMIT,
            )  # fmt: skip
            if len(start) == 0:
                self.roomy_c[c] = True
                found = np.flatnonzero(self.client_bytes_cm[c] <= p.client_memory_c[c])
                start = np.array([0, len(found)])
            first.append(first[-1] + len(start) - 1)
            starts.append(start[1:] + count)
            members.append(found)
            count += len(found)
        self.first_set_c = np.array(first)
        self.start, self.all_members = np.concatenate(starts), np.concatenate(members)
        self.bound_s = np.full(first[-1], np.inf)
        self.guess_c = np.zeros(len(p.clients), dtype=np.int64)
        self.compute_c = self.options.fill * p.client_compute_c
        self.uplink_c = link_a(p)

    def price(self, service_t: FloatArray, backhaul: float) -> float:
        """C at these prices; every client's best column joins the master, C joins the cuts."""
        p, C, T = self.problem, len(self.problem.clients), len(self.problem.tasks)
        cloud_t = self.cloud_net_t - backhaul * p.query_bytes_t
        edge_ct = np.where(self.edge_open_ct, service_t, 0.0)
        cloud_ct = np.where(self.cloud_open_ct, cloud_t, 0.0)
        in_cloud_ct = cloud_ct > edge_ct
        remote_ct = np.maximum(np.maximum(edge_ct, cloud_ct), 0.0)
        value_c, routing_c = np.zeros(C), np.zeros((C, T + 5))
        price_clients(
            self.first_set_c, self.start, self.all_members, self.bound_s, self.guess_c,
            self.compute_c, self.uplink_c, self.accuracy_cmt, self.client_cost_cm,
            self.load_ct, remote_ct, self.last_remote_ct, in_cloud_ct, self.query_bytes_t,
            self.cloud_net_t, self.cloud_cost_t, self.tolerance_c, value_c, routing_c,
        )  # fmt: skip
        self.last_remote_ct = remote_ct
        self.master.add(self.guess_c, routing_c)
        total = float(value_c.sum()) + (backhaul * self.uplink if backhaul > 0 else 0.0)
        total *= ROUNDING_UP
        self.cuts.clients_k.append(total)
        self.cuts.price_kt.append(service_t)
        self.backhaul_k.append(backhaul)
        return total

    def linearise(self, k: int, eta: float) -> None:
        """Cut k, linear in the gains of models, at the price `eta` of work."""
        price_t = self.cuts.price_kt[k]
        net_mt = self.accuracy_mt - price_t - eta * self.work_m[:, None]
        gain_mt = np.where(self.accuracy_mt > 0, np.maximum(net_mt, 0.0) * self.cap_t, 0.0)
        self.cuts.base_k.append((self.cuts.clients_k[k] + eta * self.window) * ROUNDING_UP)
        self.cuts.gain_kmt.append(gain_mt)
        self.cuts.cost_km.append(eta * self.fixed_m)
        self.cuts.origin_k.append((k, eta))

    def earns(self, active_m: BoolArray, k: int) -> tuple[float, float]:
        """(E_A, eta) at the prices of cut k."""
        found: tuple[float, float] = edge_value(
            np.flatnonzero(active_m), self.accuracy_mt, self.fixed_m, self.work_m,
            self.cuts.price_kt[k], self.cap_t, self.window,
        )  # fmt: skip
        return found

    def bound_of(self, active_m: BoolArray) -> tuple[float, int, float]:
        """min_k C_k + E_A(rho_k), the k where it is reached, and its eta."""
        best = (np.inf, -1, 0.0)
        for k, clients in enumerate(self.cuts.clients_k):
            value, eta = self.earns(active_m, k)
            if clients + value < best[0]:
                best = (clients + value, k, eta)
        return best

    def fractional_value(self, k: int, memory_price: float) -> float:
        """Bound on E_A over all sets A at cut k as last linearised, memory priced."""
        gain_m = self.cuts.gain_kmt[-1].sum(axis=1) - self.cuts.cost_km[-1]
        share_m = self.bytes_m / self.memory if self.memory > 0 else np.zeros(len(self.m))
        eta_window = self.cuts.base_k[-1] - self.cuts.clients_k[k]
        return float(np.maximum(gain_m - memory_price * share_m, 0.0).sum()) + (
            eta_window + memory_price
        )

    def members(self, c: int, chosen: int) -> NDArray[np.int64]:
        """Models of a set of client c."""
        s = self.first_set_c[c] + chosen
        return self.all_members[self.start[s] : self.start[s + 1]]

    def full_mask(self, active_m: BoolArray) -> BoolArray:
        """A set of the reduced models as a mask over all."""
        mask_m = np.zeros(len(self.problem.models), dtype=bool)
        mask_m[self.m[active_m]] = True
        return mask_m

    def select(self, threshold: float) -> tuple[float, BoolArray, int]:
        """The model set with the highest bound above `threshold`."""
        cuts = self.cuts
        base_k, cost_km = np.array(cuts.base_k), np.array(cuts.cost_km)
        gain_kmt = np.array(cuts.gain_kmt)
        kept = self._tight(base_k, gain_kmt, cost_km)
        density_m = cuts.gain_kmt[-1].sum(axis=1) / np.maximum(self.bytes_m, 1e-300)
        order = np.argsort(-density_m, kind="stable")
        gain_kmt = np.ascontiguousarray(gain_kmt[kept][:, order])
        cost_km = np.ascontiguousarray(cost_km[kept][:, order])
        value, chosen, nodes = select_set(
            base_k[kept], gain_kmt, cost_km, self.bytes_m[order], self.fixed_m[order],
            self.memory, self.window, threshold, NODE_LIMIT,
        )  # fmt: skip
        active_m = np.zeros(len(order), dtype=bool)
        active_m[order] = chosen
        self.visited.append(active_m)
        return value, active_m, nodes

    def useful_prices(self) -> FloatArray:
        """Rows (rho_t..., sigma, eta) of the cuts that bound the most promising sets: a start
        for the same edge after its load has changed."""
        if not self.visited:
            return np.zeros((0, len(self.cap_t) + 2))
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


def _useful(
    problem: Problem, fixed_m: FloatArray, work_m: FloatArray, cap_t: FloatArray,
    memory: float, window: float,
) -> NDArray[np.int64]:  # fmt: skip
    """Edge models that fit, serve something asked, and that no other model beats in everything."""
    accuracy_mt = np.where(cap_t > 0, problem.accuracy_mt, 0.0)
    bytes_m = problem.edge_model_bytes_em[0]
    fits_m = (bytes_m <= memory) & (fixed_m < window) & (accuracy_mt > 0).any(axis=1)
    m = np.flatnonzero(fits_m)
    kept = []
    for i in m:
        others = m[m != i]
        as_good = (
            (bytes_m[others] <= bytes_m[i])
            & (fixed_m[others] <= fixed_m[i])
            & (work_m[others] <= work_m[i])
            & (accuracy_mt[others] >= accuracy_mt[i]).all(axis=1)
        )
        better = (
            (bytes_m[others] < bytes_m[i])
            | (fixed_m[others] < fixed_m[i])
            | (work_m[others] < work_m[i])
            | (accuracy_mt[others] > accuracy_mt[i]).any(axis=1)
            | (others < i)
        )
        if not (as_good & better).any():
            kept.append(i)
    return np.array(kept, dtype=np.int64)
