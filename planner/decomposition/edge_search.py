"""One edge, certified: prices by column generation, model sets by cuts, plans by rounding.

Every price vector (rho, sigma) gives, by exact client subproblems, a number C such that no plan
whose edge runs the models A is worth more than C + E_A(rho). The search alternates:

1. choose the set A with the highest bound over all cuts so far (that bound holds for the edge);
2. lower A's bound by column generation at A, until A is beaten or its master has converged;
3. round the master to one model set a client, route by the exact program, keep the best plan.

It ends when the highest bound is within the gap of the best plan.
Axis letters: c client, t task, m model, k cut, i client of this edge.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.allocation import Allocation, tidy
from planner.decomposition.edge_data import ROUNDING_UP, EdgeData, EdgeOptions
from planner.decomposition.master import MasterPrices
from planner.edge_cost import EdgeCost
from planner.evaluate import cloud_compute_f8, net_qps
from planner.fits import room
from planner.problem import FloatArray, Problem
from planner.programs.bound import relaxed
from planner.programs.formulation import Formulation, build_formulation
from planner.solvers import SolverLimits, solve_program

__all__ = ["OF_GAP", "EdgeOptions", "EdgeResult", "WarmEdge", "search_edge"]

BoolArray = NDArray[np.bool_]
FIRST_ROUNDS = 30
FIRST_GAP, FIRST_GAIN = 2e-3, 5e-4
SET_ROUNDS = 60
OF_GAP = 0.2
"""Part of the gap asked for that a solver may leave."""
LEAST_SHARE = 1e-6
"""of a model that a linear relaxation loads a part of"""


@dataclass(frozen=True, eq=False)
class WarmEdge:
    """What a search of an edge may begin from."""

    allocation: Allocation
    """A plan that keeps all budgets."""
    held_m: BoolArray
    """The models that the edge held before."""
    prices: FloatArray
    """Rows (rho_t..., sigma, eta), as of an `EdgeResult`."""


@dataclass(frozen=True, eq=False)
class EdgeResult:
    """Best plan of the edge, its value and bound (right answers/s, cloud charged), and prices."""

    allocation: Allocation
    value_qps: float
    bound_qps: float
    cloud_busy: float
    rounds: int
    trace: tuple[tuple[float, float], ...]
    """(value, bound) after each round."""
    proven: bool
    late: bool
    """Whether the clock stopped the search."""
    prices: FloatArray
    """Rows (rho_t..., sigma, eta): prices to start from when the load has changed."""


def search_edge(
    problem: Problem,
    cost: EdgeCost,
    options: EdgeOptions,
    warm: WarmEdge | None = None,
) -> EdgeResult:
    """Plan `problem` (one edge and its clients, F8 priced) to `options.gap`."""
    return _Search(EdgeData(problem, cost, options), warm).run()


class _Search:
    """The loop of the module's text, with its best plan and bound."""

    def __init__(self, edge: EdgeData, warm: WarmEdge | None) -> None:
        self.edge, self.warm = edge, warm
        self.begun_s = time.perf_counter()
        self.allocation = Allocation.empty(edge.problem)
        self.value, self.bound = 0.0, np.inf
        self.trace: list[tuple[float, float]] = []
        self.rounds = 0
        self.polished: set[bytes] = set()

    def run(self) -> EdgeResult:
        edge, options = self.edge, self.edge.options
        if self.warm is None or not self._begun_from(self.warm):
            self._first_prices()
        finished: set[bytes] = set()
        while True:
            threshold = self.value / (1 - 0.9 * options.gap)
            self._tighten(threshold)
            bound, active_m, nodes = edge.select(threshold)
            self.bound = min(self.bound, max(bound, threshold))
            self.trace.append((self.value, self.bound))
            if bound <= threshold or nodes < 0 or self._late():
                break
            refined, k, eta = edge.bound_of(active_m)
            if refined < bound - 1e-9 * abs(bound):
                edge.linearise(k, eta)
                continue
            key = active_m.tobytes()
            if key in finished:
                if not self._polish(active_m):
                    break
                continue
            if self._converge(active_m):
                finished.add(key)
            if edge.bound_of(active_m)[0] > threshold:
                self._round(active_m)
        gap_closed = self.bound <= self.value / (1 - options.gap) * (1 + 1e-12)
        problem = edge.problem
        busy = float(cloud_compute_f8(problem, self.allocation, 1.0).use_n[0])
        return EdgeResult(
            self.allocation, self.value, max(self.bound, self.value), busy, self.rounds,
            tuple(self.trace), gap_closed, self._late() and not gap_closed, edge.useful_prices(),
        )  # fmt: skip

    def _tighten(self, threshold: float) -> None:
        """Linear cuts as tight as the prices known so far allow, at the sets looked at before that
        are still above `threshold`: each costs next to nothing, and saves a search over all sets
        that would only have found such a set again."""
        edge = self.edge
        tight: set[bytes] = set()
        while (known := edge.visited_above(threshold, tight)) is not None:
            bound, active_m = known
            refined, k, eta = edge.bound_of(active_m)
            if refined < bound - 1e-9 * abs(bound):
                edge.linearise(k, eta)
            else:
                tight.add(active_m.tobytes())

    def _late(self) -> bool:
        return time.perf_counter() - self.begun_s > self.edge.options.time_limit_s

    def _begun_from(self, warm: WarmEdge) -> bool:
        """Take over a plan and prices; False where the plan is worth nothing."""
        edge, T = self.edge, len(self.edge.problem.tasks)
        value = self._value(warm.allocation)
        if value <= 0:
            return False
        self.value, self.allocation = value, warm.allocation
        for k, row in enumerate(warm.prices):
            edge.price(row[:T].copy(), float(row[T]))
            edge.linearise(k, float(row[T + 1]))
        edge.visited.append(warm.held_m[edge.m])
        return True

    def _value(self, allocation: Allocation) -> float:
        """Right answers/s, what is loaded and the cloud charged."""
        problem = self.edge.problem
        busy = float(cloud_compute_f8(problem, allocation, 1.0).use_n[0])
        return net_qps(problem, allocation) - self.edge.options.cloud_price * busy

    def _first_prices(self) -> None:
        """Column generation with fractional edge models: good prices before any set is chosen."""
        edge = self.edge
        best_t = edge.models.accuracy_mt.max(axis=0, initial=0.0)
        for level in (0.0, 0.5, 0.8):
            edge.price(level * best_t, 0.0)
        edge.master.fix_models(None)
        centre: tuple[FloatArray, float] | None = None
        lowest, stale = np.inf, 0
        for _ in range(FIRST_ROUNDS):
            found = edge.master.solve()
            self.rounds += 1
            service_t, backhaul = self._between(centre, found)
            clients = edge.price(service_t, backhaul)
            k = len(edge.cuts.clients_k) - 1
            edge.linearise(k, found.work)
            value = edge.fractional_value(k, found.memory) + clients
            stale = 0 if value < lowest * (1 - FIRST_GAIN) else stale + 1
            if value < lowest:
                lowest, centre = value, (service_t, backhaul)
            if lowest - found.value <= FIRST_GAP * abs(lowest) or stale >= 4 or self._late():
                break
        self.bound = lowest * ROUNDING_UP

    def _between(
        self, centre: tuple[FloatArray, float] | None, found: MasterPrices
    ) -> tuple[FloatArray, float]:
        """Prices half way from the best so far to the master's: it keeps them from jumping."""
        if centre is None:
            return found.service_t, found.backhaul
        return 0.5 * (found.service_t + centre[0]), 0.5 * (found.backhaul + centre[1])

    def _converge(self, active_m: BoolArray) -> bool:
        """Column generation with the edge's models fixed; True when nothing more can be gained."""
        edge = self.edge
        edge.master.fix_models(active_m)
        bound, k, _ = edge.bound_of(active_m)
        centre = (edge.cuts.price_kt[k], edge.backhaul_k[k])
        threshold = self.value / (1 - 0.9 * edge.options.gap)
        for _ in range(SET_ROUNDS):
            found = edge.master.solve()
            self.rounds += 1
            if bound - found.value <= max(0.05 * edge.options.gap, 1e-7) * abs(bound):
                return True
            if bound <= threshold or self._late():
                return False
            service_t, backhaul = self._between(centre, found)
            clients = edge.price(service_t, backhaul)
            k = len(edge.cuts.clients_k) - 1
            value, eta = edge.earns(active_m, k)
            edge.linearise(k, eta)
            if clients + value < bound:
                bound, centre = clients + value, (service_t, backhaul)
            else:
                centre = (0.5 * (centre[0] + service_t), 0.5 * (centre[1] + backhaul))
        return False

    def _round(self, active_m: BoolArray) -> None:
        """One model set a client, the heaviest in the master; routed by the exact program."""
        edge = self.edge
        x_cm = np.zeros((len(edge.problem.clients), len(edge.problem.models)), dtype=bool)
        for c, weights in enumerate(edge.master.weights()):
            if weights:
                x_cm[c, edge.members(c, max(weights, key=lambda s: weights[s]))] = True
        y_m = edge.full_mask(active_m)
        choose = bool(edge.roomy_c.any())
        if choose:
            x_cm = self._relaxed_support(x_cm, y_m)
        self._try(x_cm, y_m, choose=choose)

    def _relaxed_support(self, x_cm: BoolArray, y_m: BoolArray) -> BoolArray:
        """Of the models `x_cm` those that the linear relaxation loads a part of: a client with
        room for any model is offered the whole library, of which it needs a few."""
        model = self._among(x_cm, y_m, choose=True)
        limits = SolverLimits(0.0, self._left_s())
        result = solve_program(relaxed(model.program), limits, "highs")
        if result.x_v is None:
            return x_cm
        support_cm = np.zeros_like(x_cm)
        support_cm[model.index["x"]] = result.x_v[model.columns["x"]] > LEAST_SHARE
        return support_cm

    def _polish(self, active_m: BoolArray) -> bool:
        """Let the solver choose among the models the master mixes; True if the plan improved."""
        edge = self.edge
        if not edge.options.polish or active_m.tobytes() in self.polished:
            return False
        self.polished.add(active_m.tobytes())
        edge.master.fix_models(active_m)
        edge.master.solve()
        x_cm = np.zeros((len(edge.problem.clients), len(edge.problem.models)), dtype=bool)
        for c, weights in enumerate(edge.master.weights()):
            for chosen in weights:
                x_cm[c, edge.members(c, chosen)] = True
        before = self.value
        self._try(x_cm, edge.full_mask(active_m), choose=True)
        return self.value > before * (1 + 1e-9)

    def _left_s(self) -> float:
        spent_s = time.perf_counter() - self.begun_s
        return max(self.edge.options.time_limit_s - spent_s, 0.05)

    def _among(self, x_cm: BoolArray, y_m: BoolArray, *, choose: bool) -> Formulation:
        """The program of these models; with `choose`, of which to onload."""
        edge, options = self.edge, self.edge.options
        return build_formulation(
            edge.problem, fill=options.fill, edge_cost=edge.cost, choose=choose,
            allowed_cm=x_cm, allowed_em=y_m[None, :], cloud_price=options.cloud_price,
        )  # fmt: skip

    def _try(self, x_cm: BoolArray, y_m: BoolArray, *, choose: bool) -> None:
        """Route (and with `choose` onload) among these models; keep the plan if it is better."""
        edge = self.edge
        options = edge.options
        if not choose and float(edge.cost.fixed_em[0][y_m].sum()) > room(edge.models.window):
            return
        model = self._among(x_cm, y_m, choose=choose)
        limits = SolverLimits(OF_GAP * options.gap, self._left_s())
        result = solve_program(model.program, limits, "highs")
        if result.x_v is None:
            return
        found = model.allocation(edge.problem, result.x_v)
        found = tidy(edge.problem, found, fill=options.fill, batched=edge.batched)
        value = self._value(found)
        if value > self.value:
            self.value, self.allocation = value, found
