"""Upper bounds on the optimum from the linear relaxation (F10), rigorous in double precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from planner.attachments import components
from planner.edge_cost import EdgeCost, edge_cost
from planner.fits import TOLERANCE
from planner.options import EdgeForm, Options
from planner.problem import FloatArray, Problem
from planner.programs.energy_terms import options_of_part, with_energy
from planner.programs.formulation import build_formulation
from planner.programs.prices import Prices
from planner.solvers import LinearProgram, SolverLimits, solve_program

__all__ = ["JOINT_SIZE", "Relaxation", "relax", "relax_with", "relaxed", "trivial_bound_qps"]

CostOf = Callable[[Problem], EdgeCost]
JOINT_SIZE = 50_000
"""Largest client x task x model count for which F8 is bounded by one joint program."""
PRICE_STEPS = 12


@dataclass(frozen=True, eq=False)
class Relaxation:
    """The linear relaxation: a rigorous bound on F1 times the total load (right answers/s),
    its prices, and how much of each model it would onload."""

    bound_qps: float
    method: str
    prices: Prices
    onloaded_cm: FloatArray
    onloaded_em: FloatArray
    cloud_busy: float


def trivial_bound_qps(problem: Problem) -> float:
    """Every query answered by the best model there is for its task."""
    best_t = np.maximum(problem.accuracy_mt.max(axis=0), problem.cloud_accuracy_t)
    return float((problem.load_ct * best_t).sum()) * (1 + 1e-12)


def relax(problem: Problem, form: EdgeForm, options: Options) -> Relaxation:
    """The relaxation with F9 (`batched`) or F6 (`unbatched`) at the edges."""
    found = relax_with(problem, lambda piece: edge_cost(piece, form), options.fill, options)
    label = f"linear relaxation ({'F9' if form == 'batched' else 'F6'})"
    return replace(found, method=label)


def relax_with(problem: Problem, cost_of: CostOf, edge_fill: float, options: Options) -> Relaxation:
    """Linear relaxation by component; where F8 couples components, jointly or by one price, and
    where F18 does, jointly (each by itself with the whole budget, if they are too many).

    `cost_of` gives the edge row of a piece of the problem, `edge_fill` the share of the windows
    it may use. Any price of F8 gives a valid bound, so the search over it need not be exact.
    """
    scaled = problem.changed(edge_compute_e=problem.edge_compute_e * edge_fill / options.fill)
    free = _by_component(scaled, cost_of, options, 0.0)
    limit = options.fill * problem.cloud_compute
    small = len(problem.clients) * len(problem.models) * len(problem.tasks) <= JOINT_SIZE
    coupled = options.energy is not None and options.energy.couples
    if free.cloud_busy <= limit and not (coupled and small):
        best = free
    elif small:
        best = _solve(scaled, cost_of, options, 0.0)
    else:
        best = _price_search(scaled, cost_of, options, free)
    # A plan may take `room` of each budget, a share of TOLERANCE more than the program allows. With
    # every right side and every column's limit so much larger, its optimum would be so much larger.
    linear_qps = min(best.bound_qps, free.bound_qps) * (1 + TOLERANCE)
    bound_qps = min(linear_qps, trivial_bound_qps(problem))
    return replace(best, bound_qps=bound_qps)


def relaxed(program: LinearProgram) -> LinearProgram:
    """The program without its integrality."""
    return replace(program, integer_v=np.zeros_like(program.integer_v))


def _solve(problem: Problem, cost_of: CostOf, options: Options, cloud_price: float) -> Relaxation:
    """One linear program over the whole of `problem`."""
    model = build_formulation(
        problem, fill=options.fill, edge_cost=cost_of(problem), choose=True,
        cloud_price=cloud_price,
    )  # fmt: skip
    model = with_energy(problem, model, options)
    limits = SolverLimits(0.0, options.time_limit_s, options.threads, options.seed)
    result = solve_program(relaxed(model.program), limits, "highs")
    rows = model.program.matrix.shape[0]
    dual_r = result.dual_r if result.dual_r is not None else np.zeros(rows)
    x_v = result.x_v if result.x_v is not None else np.zeros(len(model.program.upper_v))
    onloaded_cm = np.zeros(model.allowed_cm.shape)
    onloaded_em = np.zeros(model.allowed_em.shape)
    onloaded_cm[model.index["x"]] = x_v[model.columns["x"]]
    onloaded_em[model.index["y"]] = x_v[model.columns["y"]]
    a, t = model.index["r"]
    load_r = problem.load_ct[problem.client_of_a[a], t]
    busy = float((x_v[model.columns["r"]] * load_r * problem.cloud_cost_t[t]).sum())
    prices = model.prices(problem, dual_r)
    prices = replace(prices, cloud=prices.cloud + cloud_price)
    return Relaxation(result.bound, "", prices, onloaded_cm, onloaded_em, busy)


def _by_component(
    problem: Problem, cost_of: CostOf, options: Options, cloud_price: float
) -> Relaxation:
    """Sum over the components, each alone, when a busy second of the cloud costs `cloud_price`."""
    M = len(problem.models)
    prices = replace(Prices.zero(problem), cloud=cloud_price)
    onloaded_cm = np.zeros((len(problem.clients), M))
    onloaded_em = np.zeros((len(problem.edges), M))
    bound_qps, busy = 0.0, 0.0
    parts = components(problem)
    for part in parts:
        own = options_of_part(options, part)
        found = _solve(part.piece(problem), cost_of, own, cloud_price)
        bound_qps += found.bound_qps
        busy += found.cloud_busy
        onloaded_cm[part.clients], onloaded_em[part.edges] = found.onloaded_cm, found.onloaded_em
        for place, names in (
            (part.clients, ("share_ct", "compute_c", "uplink_c")),
            (part.edges, ("uplink_e", "window_e", "service_et")),
            (part.attachments, ("uplink_a",)),
        ):
            for name in names:
                getattr(prices, name)[place] = getattr(found.prices, name)
    bound_qps *= 1 + 1e-14 * len(parts)
    return Relaxation(bound_qps, "", prices, onloaded_cm, onloaded_em, busy)


def _price_search(
    problem: Problem, cost_of: CostOf, options: Options, free: Relaxation
) -> Relaxation:
    """Bisection on the price of F8; the bound is convex in it and its slope is budget - use."""
    limit = options.fill * problem.cloud_compute
    served_t = problem.cloud_accuracy_t > 0
    cheapest = max(float(problem.cloud_cost_t[served_t].min(initial=np.inf)), 1e-12)
    low, high = 0.0, float(problem.cloud_accuracy_t.max()) / cheapest
    best = free
    for _ in range(PRICE_STEPS):
        price = 0.5 * (low + high)
        found = _by_component(problem, cost_of, options, price)
        value = (found.bound_qps + price * limit) * (1 + 1e-14)
        if value < best.bound_qps:
            best = replace(found, bound_qps=value)
        low, high = (price, high) if found.cloud_busy > limit else (low, price)
    return best
