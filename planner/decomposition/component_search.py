"""One component, certified: prices by column generation, model sets by cuts, plans by rounding.

A component is an edge and its clients, or several edges that share clients (F12). Every price
vector (rho, sigma) gives, by exact client subproblems, a number C such that no plan whose edges run
the models A is worth more than C + sum_e E_A(rho_e). The search alternates:

1. choose the A with the highest bound over all cuts so far (that bound holds for the component);
2. lower A's bound by column generation at A, until A is beaten or its master has converged;
3. round the master to one model set a client, route by the exact program, keep the best plan.

It ends when the highest bound is within the gap of the best plan.
Axis letters: c client, e edge, j model at an edge, t task, m model, x edge and task (e T + t),
k cut.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.allocation import Allocation, tidy
from planner.decomposition.component_data import ROUNDING_UP, ComponentData, SearchOptions
from planner.decomposition.edge_sets import OUT_OF_NODES, STOPPED_EARLY, Tree
from planner.decomposition.master import MasterPrices
from planner.edge_cost import EdgeCost
from planner.evaluate import cloud_compute_f8, net_qps
from planner.fits import room
from planner.problem import FloatArray, Problem
from planner.programs.formulation import Formulation, build_formulation
from planner.solvers import SolverLimits, solve_program

__all__ = [
    "OF_GAP",
    "ComponentResult",
    "SearchOptions",
    "WarmComponent",
    "gap_closed",
    "search_component",
    "worth",
]

BoolArray = NDArray[np.bool_]
FIRST_ROUNDS = 30
FIRST_GAP, FIRST_GAIN = 2e-3, 5e-4
SET_ROUNDS = 60
FEW_NODES = 30
"""in which the highest choice is sought"""
OF_GAP = 0.2
"""Part of the gap asked for that a solver may leave."""


@dataclass(frozen=True, eq=False)
class WarmComponent:
    """What a search may begin from."""

    allocation: Allocation
    """A plan that keeps all budgets."""
    held_em: BoolArray
    """The models that the edges held before."""
    prices: FloatArray
    """Rows (rho_x..., sigma_e..., eta_e...), as of a `ComponentResult`."""


@dataclass(frozen=True, eq=False)
class ComponentResult:
    """Best plan, its value and bound (right answers/s, cloud charged), and prices."""

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
    """Rows (rho_x..., sigma_e..., eta_e...): prices to start from when the load has changed."""


def search_component(
    problem: Problem,
    cost: EdgeCost,
    options: SearchOptions,
    warm: WarmComponent | None = None,
) -> ComponentResult:
    """Plan `problem` (one component, F8 priced) to `options.gap`."""
    return _Search(ComponentData(problem, cost, options), warm).run()


def worth(problem: Problem, allocation: Allocation, cloud_price: float) -> tuple[float, float]:
    """(right answers/s, what is loaded and the cloud charged; busy seconds of the cloud)."""
    busy = float(cloud_compute_f8(problem, allocation, 1.0).use_n[0])
    return net_qps(problem, allocation) - cloud_price * busy, busy


def gap_closed(value: float, bound: float, gap: float) -> bool:
    """Whether a plan's value is within the relative `gap` of its bound."""
    return bound <= value / (1 - gap) * (1 + 1e-12)


class _Search:
    """The loop of the module's text, with its best plan and bound."""

    def __init__(self, data: ComponentData, warm: WarmComponent | None) -> None:
        self.data, self.warm = data, warm
        self.begun_s = time.perf_counter()
        self.allocation = Allocation.empty(data.problem)
        self.value, self.bound = 0.0, np.inf
        self.trace: list[tuple[float, float]] = []
        self.mixed = 0.0
        """Value of the last master program."""
        self.many = False
        """Whether more choices are above the threshold than are searched anew each time."""
        self.rounds = 0
        self.polished: set[bytes] = set()
        self.states: dict[bytes, tuple[float, float, int]] = {}
        """By choice, value, bound and columns when it was looked at last"""
        self.refined: dict[bytes, float] = {}
        """By choice, its bound by linear cuts before the latest one that was made for it."""

    def run(self) -> ComponentResult:
        data, options = self.data, self.data.options
        if self.warm is None or not self._begun_from(self.warm):
            self._first_prices()
        finished: set[bytes] = set()
        tree, floor = data.tree(), 0.0
        while True:
            threshold = self.value / (1 - 0.9 * options.gap)
            floor = max(floor, threshold)
            self._tighten(floor)
            bound, active_j, nodes = self._highest(tree, floor)
            if nodes != STOPPED_EARLY:
                self.bound = min(self.bound, bound)
            self.trace.append((self.value, self.bound))
            if nodes == OUT_OF_NODES and self.value <= 0:
                active_j = data.likely_models()  # one good choice of more than can be searched
                self._converge(active_j)
                self._round(active_j)
            if bound <= floor or nodes == OUT_OF_NODES or self._late():
                break
            if self._refine(active_j, bound):
                continue
            key = active_j.tobytes()
            if key in finished:
                if not self._polish(active_j):
                    floor = max(floor, bound)  # it stays above; are others higher?
                continue
            if self._converge(active_j) or self._stands_still(key):
                finished.add(key)
            if self.mixed > self.value:  # plans that mix model sets are worth that
                self._round(active_j)
            if key in finished and data.bound_of(active_j)[0] > self.value / (1 - options.gap):
                self._polish(active_j)
        if not gap_closed(self.value, self.bound, options.gap):
            if nodes == STOPPED_EARLY:  # the loop was stopped by the clock: how high is the rest?
                bound, _, _ = data.select(data.tree(), self.value, self._left_s(), best=True)
                self.bound = min(self.bound, bound)
            self.bound = min(self.bound, data.loose_bound() * ROUNDING_UP)
            self.trace.append((self.value, self.bound))
        proven = gap_closed(self.value, self.bound, options.gap)
        late = self._late() or data.out_of_time
        _, busy = worth(data.problem, self.allocation, options.cloud_price)
        return ComponentResult(
            self.allocation, self.value, max(self.bound, self.value), busy, self.rounds,
            tuple(self.trace), proven, late and not proven, data.useful_prices(),
        )  # fmt: skip

    def _stands_still(self, key: bytes) -> bool:
        """Whether nothing has come of a choice since it was looked at before: loads of a thousand
        millionth are less than a solver of linear programs sees."""
        state = self.value, self.bound, len(self.data.master.columns)
        stands = self.states.get(key) == state
        self.states[key] = state
        return stands

    def _highest(self, tree: Tree, floor: float) -> tuple[float, BoolArray, int]:
        """The choice with the highest bound, where few nodes find it; otherwise the next good one
        from where `tree` stands."""
        data = self.data
        if not self.many:
            found = data.select(data.tree(), floor, self._left_s(), best=True, most_nodes=FEW_NODES)
            self.many = found[2] == OUT_OF_NODES
            if not self.many:
                return found
        return data.select(tree, floor, self._left_s())

    def _tighten(self, threshold: float) -> None:
        """Linear cuts as tight as the prices known so far allow, at the sets looked at before that
        are still above `threshold`: each costs next to nothing, and saves a search over all sets
        that would only have found such a set again."""
        data = self.data
        tight: set[bytes] = set()
        while (known := data.visited.highest(threshold, tight)) is not None:
            bound, active_j = known
            if not self._refine(active_j, bound):
                tight.add(active_j.tobytes())

    def _refine(self, active_j: BoolArray, bound: float) -> bool:
        """A cut that is as tight at a choice as its own `bound` by prices; False where that is no
        lower than `bound`, or was not after the last cut for it: sums of large terms round."""
        refined, k, eta_e = self.data.bound_of(active_j)
        key, least = active_j.tobytes(), 1e-9 * abs(bound)
        if refined >= bound - least or bound >= self.refined.get(key, np.inf) - least:
            return False
        self.refined[key] = bound
        self.data.linearise(k, eta_e)
        return True

    def _late(self) -> bool:
        return time.perf_counter() - self.begun_s > self.data.options.time_limit_s

    def _begun_from(self, warm: WarmComponent) -> bool:
        """Take over a plan and prices; False where the plan is worth nothing."""
        data = self.data
        value = self._value(warm.allocation)
        if value <= 0:
            return False
        self.value, self.allocation = value, warm.allocation
        E, X = len(data.edges), len(data.edges) * len(data.problem.tasks)
        for k, row in enumerate(warm.prices):
            service_x, backhaul_e, eta_e = row[:X].copy(), row[X : X + E].copy(), row[X + E :]
            data.price(service_x, backhaul_e)
            data.linearise(k, eta_e)
        data.visit(warm.held_em[data.edge_j, data.m_j])
        return True

    def _value(self, allocation: Allocation) -> float:
        return worth(self.data.problem, allocation, self.data.options.cloud_price)[0]

    def _first_prices(self) -> None:
        """Column generation with fractional edge models: good prices before any set is chosen."""
        data = self.data
        best_x = np.concatenate([edge.accuracy_mt.max(axis=0, initial=0.0) for edge in data.edges])
        for level in (0.0, 0.5, 0.8):
            data.price(level * best_x, np.zeros(len(data.edges)))
        data.master.fix_models(None)
        centre: tuple[FloatArray, FloatArray] | None = None
        lowest, stale, fresh = np.inf, 0, True
        for _ in range(FIRST_ROUNDS):
            found = data.master.solve()
            self.rounds += 1
            service_x, backhaul_e = self._between(centre if fresh else None, found)
            clients, k, fresh = data.price(service_x, backhaul_e)
            data.linearise(k, found.work_e)
            value = data.fractional_value(k, found.memory_e) + clients
            stale = 0 if value < lowest * (1 - FIRST_GAIN) else stale + fresh
            if value < lowest:
                lowest, centre = value, (service_x, backhaul_e)
            if lowest - found.value <= FIRST_GAP * abs(lowest) or stale >= 4 or self._late():
                break
        self.bound = lowest * ROUNDING_UP

    def _between(
        self, centre: tuple[FloatArray, FloatArray] | None, found: MasterPrices
    ) -> tuple[FloatArray, FloatArray]:
        """Prices half way from the best so far to the master's: it keeps them from jumping. The
        master's own where there is no centre, or where prices half way brought no new column."""
        if centre is None:
            return found.service_x, found.backhaul_e
        return 0.5 * (found.service_x + centre[0]), 0.5 * (found.backhaul_e + centre[1])

    def _converge(self, active_j: BoolArray) -> bool:
        """Column generation with the edges' models fixed; True when nothing more can be gained."""
        data = self.data
        data.master.fix_models(active_j)
        bound, k, _ = data.bound_of(active_j)
        centre, fresh = (data.cuts.price_kx.rows[k], data.cuts.backhaul_ke.rows[k]), True
        threshold = self.value / (1 - 0.9 * data.options.gap)
        for _ in range(SET_ROUNDS):
            found = data.master.solve()
            self.mixed = found.value
            self.rounds += 1
            if bound - found.value <= max(0.05 * data.options.gap, 1e-7) * abs(bound):
                return True
            if bound <= threshold or self._late():
                return False
            service_x, backhaul_e = self._between(centre if fresh else None, found)
            clients, k, fresh = data.price(service_x, backhaul_e)
            value, eta_e = data.earns(active_j, k)
            data.linearise(k, eta_e)
            if clients + value < bound:
                bound, centre = clients + value, (service_x, backhaul_e)
            else:
                centre = (0.5 * (centre[0] + service_x), 0.5 * (centre[1] + backhaul_e))
        return False

    def _round(self, active_j: BoolArray) -> None:
        """One model set a client, the heaviest in the master; routed by the exact program."""
        data = self.data
        x_cm = np.zeros((len(data.problem.clients), len(data.problem.models)), dtype=bool)
        for c, weights in enumerate(data.master.weights()):
            if weights:
                x_cm[c, data.members(c, max(weights, key=lambda s: weights[s]))] = True
        y_em = data.full_mask(active_j)
        self._try(x_cm, y_em, choose=False)

    def _polish(self, active_j: BoolArray) -> bool:
        """Let the solver choose among the models the master mixes; True if the plan improved."""
        data = self.data
        if not data.options.polish or active_j.tobytes() in self.polished:
            return False
        self.polished.add(active_j.tobytes())
        data.master.fix_models(active_j)
        data.master.solve()
        x_cm = np.zeros((len(data.problem.clients), len(data.problem.models)), dtype=bool)
        for c, weights in enumerate(data.master.weights()):
            for chosen in weights:
                x_cm[c, data.members(c, chosen)] = True
        before = self.value
        self._try(x_cm, data.full_mask(active_j), choose=True)
        return self.value > before * (1 + 1e-9)

    def _left_s(self) -> float:
        spent_s = time.perf_counter() - self.begun_s
        return max(self.data.options.time_limit_s - spent_s, 0.05)

    def _among(self, x_cm: BoolArray, y_em: BoolArray, *, choose: bool) -> Formulation:
        """The program of these models; with `choose`, of which to onload."""
        data, options = self.data, self.data.options
        return build_formulation(
            data.problem, fill=options.fill, edge_cost=data.cost, choose=choose,
            allowed_cm=x_cm, allowed_em=y_em, cloud_price=options.cloud_price,
        )  # fmt: skip

    def _try(self, x_cm: BoolArray, y_em: BoolArray, *, choose: bool) -> None:
        """Route (and with `choose` onload) among these models; keep the plan if it is better."""
        data = self.data
        options = data.options
        fixed_e = np.where(y_em, data.cost.fixed_em, 0.0).sum(axis=1)
        if not choose and (fixed_e > room(data.window_e)).any():
            return
        model = self._among(x_cm, y_em, choose=choose)
        limits = SolverLimits(OF_GAP * options.gap, self._left_s())
        result = solve_program(model.program, limits, "highs")
        if result.x_v is None:
            return
        found = model.allocation(data.problem, result.x_v)
        found = tidy(data.problem, found, fill=options.fill, batched=data.batched)
        value = self._value(found)
        if value > self.value:
            self.value, self.allocation = value, found
