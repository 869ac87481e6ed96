"""Exact: the mixed-integer program in y-form with aggregated edge flows, by component."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from planner.allocation import Allocation, join_pieces, tidy
from planner.attachments import components
from planner.edge_cost import edge_cost
from planner.energy import power_n, within_budget
from planner.evaluate import cloud_compute_f8, energy_qps, net_qps
from planner.fits import TOLERANCE
from planner.options import EdgeForm, Options
from planner.policies.bundled_exact import bundled_exact
from planner.policies.fair import fair_exact
from planner.policies.outcome import conclude
from planner.policies.warm_start import warm_allocation
from planner.problem import Problem
from planner.programs.energy_terms import options_of_part, with_energy
from planner.programs.formulation import build_formulation
from planner.solution import Solution
from planner.solvers import ProgramStatus, solve_program

__all__ = ["exact"]


@dataclass(frozen=True, eq=False)
class _Solved:
    allocation: Allocation
    bound_qps: float
    optimal: bool
    solvers: frozenset[str]
    nodes: int


def exact(problem: Problem, options: Options) -> Solution:
    """Solve to `options.gap`, components apart; all together only when F8 binds across them, or
    a budget of F18 is for all of them.

    A run that the clock stops returns the incumbent with its true gap.
    """
    if problem.asks_together:
        return bundled_exact(problem, options)
    if options.objective != "mean":
        return fair_exact(problem, options)
    begun_s = time.perf_counter()
    form = options.edge_form or "batched"
    warm = warm_allocation(problem, options)
    coupled = options.energy is not None and options.energy.couples
    if coupled:
        found = _solve(problem, form, options, warm, options.time_limit_s)
        method = "branch and bound, components joined by F18"
    else:
        found = _by_component(problem, form, options, warm, begun_s)
        method = "branch and bound by component"
    use = cloud_compute_f8(problem, found.allocation, options.fill)
    if not coupled and use.use_n[0] > use.budget_n[0]:
        free_bound_qps = found.bound_qps
        found = _solve(problem, form, options, warm, _left(options, begun_s))
        method = "branch and bound, components joined by F8"
        found = _Solved(
            found.allocation, min(found.bound_qps, free_bound_qps), found.optimal,
            found.solvers, found.nodes,
        )  # fmt: skip
    allocation = tidy(problem, found.allocation, fill=options.fill, batched=form == "batched")
    value_qps = net_qps(problem, allocation)
    if options.energy is not None:
        batched = form == "batched"
        allocation = within_budget(problem, allocation, options.energy, batching=batched)
        watts_n = power_n(problem, allocation, options.energy.energy, batching=batched)
        value_qps = net_qps(problem, allocation) - energy_qps(watts_n, options.energy)
    return conclude(
        problem, options, "exact", form, allocation,
        upper_bound_qps=found.bound_qps, bound_method=method,
        solver=" and ".join(sorted(found.solvers)) or "none", iterations=found.nodes,
        trace_qps=(value_qps,), begun_s=begun_s, late=not found.optimal,
    )  # fmt: skip


def _by_component(
    problem: Problem, form: EdgeForm, options: Options, warm: Allocation | None, begun_s: float
) -> _Solved:
    pieces = []
    bound_qps, optimal, nodes = 0.0, True, 0
    solvers: frozenset[str] = frozenset()
    parts = components(problem)
    for position, part in enumerate(parts):
        # Time an earlier component did not need goes to the later ones.
        share_s = _left(options, begun_s) / (len(parts) - position)
        held = None if warm is None else warm.part(part)
        own = options_of_part(options, part)
        found = _solve(part.piece(problem), form, own, held, share_s)
        pieces.append((part, found.allocation))
        bound_qps += found.bound_qps
        optimal &= found.optimal
        solvers |= found.solvers
        nodes += found.nodes
    bound_qps *= 1 + 1e-14 * len(parts)
    return _Solved(join_pieces(problem, pieces), bound_qps, optimal, solvers, nodes)


def _solve(
    problem: Problem, form: EdgeForm, options: Options, warm: Allocation | None, time_s: float
) -> _Solved:
    model = build_formulation(
        problem, fill=options.fill, edge_cost=edge_cost(problem, form), choose=True
    )
    model = with_energy(problem, model, options)
    start_v = None if warm is None else model.point(problem, warm)
    limits = replace(options.limits(time_s), gap=0.9 * options.gap)
    result = solve_program(model.program, limits, options.solver, start_v)
    allocation = Allocation.empty(problem)
    if result.x_v is not None:
        allocation = model.allocation(problem, result.x_v)
    optimal = result.status is ProgramStatus.OPTIMAL
    # A plan may take `room` of each budget, so it may be worth so much more.
    bound_qps = result.bound * (1 + TOLERANCE)
    return _Solved(allocation, bound_qps, optimal, frozenset({result.solver}), result.nodes)


def _left(options: Options, begun_s: float) -> float:
    return max(options.time_limit_s - (time.perf_counter() - begun_s), 0.05)
