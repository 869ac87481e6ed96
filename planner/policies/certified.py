"""Certified: exact client subproblems and edge model sets by decomposition, in parallel."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace

import numpy as np

from planner.allocation import Allocation, join_pieces
from planner.attachments import components, several_edges_c
from planner.certificate import relative_gap
from planner.decomposition.component_search import (
    ComponentResult,
    SearchOptions,
    WarmComponent,
    search_component,
)
from planner.decomposition.joined import search_joined
from planner.edge_cost import edge_cost
from planner.evaluate import net_qps
from planner.options import EdgeForm, Options
from planner.policies.outcome import conclude
from planner.policies.warm_routes import warm_routes
from planner.problem import FloatArray, Problem
from planner.programs.among_models import plan_among
from planner.programs.offloading import Tiers, route_form
from planner.solution import Solution
from planner.solvers import SolverLimits

__all__ = ["certified", "roughly_certified"]

PRICE_STEPS = 8
LEAST_S = 0.05
"""A component whose turn comes when the time is over still gets a plan."""
POLISH_MODELS, POLISH_S = 2000, 10.0
ROUGH_GAP = 0.02
"""Gap of the searches that only look for the price of F8."""
OTHERS_GAP = 5e-3
FEWEST_PARTS = 8
"""Below this many components, starting processes costs more than it saves."""


@dataclass(frozen=True, eq=False)
class _Joined:
    allocation: Allocation
    value_qps: float
    bound_qps: float
    cloud_busy: float
    rounds: int
    prices: dict[str, FloatArray]
    late: bool
    """Whether a clock stopped the search of any component."""
    solvers: frozenset[str] = frozenset({"HiGHS"})


def certified(problem: Problem, options: Options) -> Solution:
    """Plan component by component to `options.gap`; F8, which couples them, by one price.

    Edges that share clients (F12) are one component; branch and bound follows where decomposition
    leaves a gap between them. `options.threads` processes work on the components.
    """
    begun_s = time.perf_counter()
    form = options.edge_form or "batched"
    with _Pool(problem, options) as pool:

        def left() -> float:
            """Seconds until the time limit."""
            return options.time_limit_s - (time.perf_counter() - begun_s)

        def search(gap: float, price: float, polish: bool) -> _Joined:
            asked = replace(options, gap=gap)
            return _search(problem, form, asked, price, polish, left(), pool)

        found = search(options.gap, 0.0, True)
        limit = options.fill * problem.cloud_compute
        method = "decomposition, every client and edge model set bounded"
        if several_edges_c(problem).any():
            method += ", branch and bound where that leaves a gap between edges"
        if found.cloud_busy > limit:
            found = _price_cloud(problem, form, options, limit, found, search, left)
            method += ", F8 priced"
    return conclude(
        problem, options, "certified", form, found.allocation,
        upper_bound_qps=found.bound_qps, bound_method=method,
        late=found.late, solver=" and ".join(sorted(found.solvers)),
        iterations=found.rounds, trace_qps=(found.value_qps,), begun_s=begun_s,
        prices=found.prices,
    )  # fmt: skip


def roughly_certified(problem: Problem, options: Options) -> Solution:
    """`certified` for a problem that is not the one asked for (a smaller library, other values): to
    a gap of 0.5 %, from no previous plan."""
    gap = max(options.gap, OTHERS_GAP)
    return certified(problem, replace(options, gap=gap, warm_start=None))


def _price_cloud(
    problem: Problem,
    form: EdgeForm,
    options: Options,
    limit: float,
    free: _Joined,
    search: Callable[[float, float, bool], _Joined],
    left: Callable[[], float],
) -> _Joined:
    """Bisection on the price of F8 with rough searches, then one to the full gap at the best.

    Each search's bound + price x budget is an upper bound; each one's models are routed under
    F8 itself.
    """
    served_t = problem.cloud_accuracy_t > 0
    cheapest = max(float(problem.cloud_cost_t[served_t].min(initial=np.inf)), 1e-12)
    low, high = 0.0, float(problem.cloud_accuracy_t.max()) / cheapest
    best = _routed(problem, form, options, free)
    seen = [free.allocation]
    lowest, best_price = np.inf, 0.0
    for _ in range(PRICE_STEPS):
        if left() <= 0:
            break
        price = 0.5 * (low + high)
        found = search(max(ROUGH_GAP, options.gap), price, False)
        if found.bound_qps + price * limit < lowest:
            lowest, best_price = found.bound_qps + price * limit, price
        low, high = (price, high) if found.cloud_busy > limit else (low, price)
        seen.append(found.allocation)
    for price in dict.fromkeys((best_price, low, high)):
        if left() <= 0:
            return replace(best, late=True)
        found = search(options.gap, price, True)
        bound_qps = (found.bound_qps + price * limit) * (1 + 1e-12)
        routed = _routed(problem, form, options, found)
        best = _better(best, replace(routed, bound_qps=bound_qps))
        seen += [found.allocation, routed.allocation]
    if relative_gap(best.value_qps, best.bound_qps) > options.gap:
        best = _polished(problem, form, options, seen, best, max(left(), LEAST_S))
    return best


def _polished(
    problem: Problem, form: EdgeForm, options: Options, seen: list[Allocation], best: _Joined,
    left_s: float,
) -> _Joined:  # fmt: skip
    """One exact program over all edges among the models that any search chose, if it is small."""
    allowed_cm = np.logical_or.reduce([found.onloaded_cm for found in seen])
    allowed_em = np.logical_or.reduce([found.onloaded_em for found in seen])
    if allowed_cm.sum() > POLISH_MODELS:
        return best
    limits = SolverLimits(0.5 * options.gap, min(POLISH_S, left_s), seed=options.seed)
    models = (allowed_cm, allowed_em)
    allocation, solver = plan_among(problem, models, form, options.fill, limits, options.solver)
    best = replace(best, solvers=best.solvers | {solver})
    if allocation is None:
        return best
    value_qps = net_qps(problem, allocation)
    if value_qps <= best.value_qps:
        return best
    return replace(best, allocation=allocation, value_qps=value_qps)


def _better(old: _Joined, new: _Joined) -> _Joined:
    """The more valuable plan with the lower bound."""
    kept = new if new.value_qps > old.value_qps else old
    bound_qps = min(old.bound_qps, new.bound_qps)
    return replace(kept, bound_qps=bound_qps, rounds=old.rounds + new.rounds)


def _routed(problem: Problem, form: EdgeForm, options: Options, found: _Joined) -> _Joined:
    models = (found.allocation.onloaded_cm, found.allocation.onloaded_em)
    order_em = found.allocation.edge_rate_em(problem)
    routing = route_form(problem, *models, form, options, Tiers(), order_em)
    value_qps = net_qps(problem, routing.allocation)
    return replace(found, allocation=routing.allocation, value_qps=value_qps)


class _Pool:
    """Worker processes for the components, or none when one thread is asked for or they are few."""

    def __init__(self, problem: Problem, options: Options) -> None:
        many = len(components(problem)) >= FEWEST_PARTS
        self.workers = options.threads if many else 1
        self.executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> _Pool:
        if self.workers > 1:
            context = multiprocessing.get_context("spawn")
            self.executor = ProcessPoolExecutor(self.workers, mp_context=context)
        return self

    def run(self, job: Callable[[int], _Job], count: int) -> list[ComponentResult]:
        """The results of `count` jobs; each job is made when a worker is free for it."""
        if self.executor is None:
            return [_run_job(job(position)) for position in range(count)]
        found: dict[int, ComponentResult] = {}
        running: dict[Future[ComponentResult], int] = {}
        for position in range(count):
            if len(running) >= self.workers:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                found |= {running.pop(future): future.result() for future in done}
            running[self.executor.submit(_run_job, job(position))] = position
        found |= {position: future.result() for future, position in running.items()}
        return [found[position] for position in range(count)]

    def __exit__(self, *_: object) -> None:
        if self.executor is not None:
            self.executor.shutdown(cancel_futures=True)


_Job = tuple[Problem, EdgeForm, SearchOptions, WarmComponent | None]


def _run_job(job: _Job) -> ComponentResult:
    piece, form, search_options, warm = job
    search = search_component if len(piece.edges) == 1 else search_joined
    return search(piece, edge_cost(piece, form), search_options, warm)


def _search(
    problem: Problem,
    form: EdgeForm,
    options: Options,
    price: float,
    polish: bool,
    left_s: float,
    pool: _Pool,
) -> _Joined:
    """Every component on its own at a price of the cloud; values and bounds add up."""
    end_s = time.perf_counter() + left_s
    parts = components(problem)
    limits = SearchOptions(options.fill, options.gap, options.time_limit_s, price, polish)
    previous = options.warm_start
    warm_prices = previous.prices if isinstance(previous, Solution) else {}
    warm = warm_routes(problem, form, options, price, left_s)

    def job(position: int) -> _Job:
        """The next component's; time that earlier ones left goes to it and to the later ones."""
        part = parts[position]
        share_s = (end_s - time.perf_counter()) * pool.workers / (len(parts) - position)
        limited = replace(limits, time_limit_s=max(share_s, LEAST_S))
        further = warm_prices.get(problem.edges[part.edges[0]])
        held = None if warm is None else warm.of(part, further)
        return part.piece(problem), form, limited, held

    results = pool.run(job, len(parts))
    pieces = [(part, found.allocation) for part, found in zip(parts, results, strict=True)]
    allocation = join_pieces(problem, pieces)
    return _Joined(
        allocation=allocation,
        value_qps=net_qps(problem, allocation),
        bound_qps=sum(found.bound_qps for found in results) * (1 + 1e-14 * len(results)),
        cloud_busy=sum(found.cloud_busy for found in results),
        rounds=sum(found.rounds for found in results),
        late=any(found.late for found in results),
        prices={
            problem.edges[part.edges[0]]: found.prices
            for part, found in zip(parts, results, strict=True)
        },
    )
