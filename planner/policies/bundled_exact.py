"""Exact where images are asked several tasks (F14): the mixed-integer program, by component.

For images of three tasks and more a router may need more passes than the program counts, and what
is shed with another task may be more. So a plan is held to what `evaluate` counts: the budgets that
it breaks are tightened by as much, and its models are routed anew; of these plans, each shed in
proportion until it keeps every budget, the best is taken. The bound is that of the program.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from planner.allocation import Allocation, cleaned, join_pieces, unloaded
from planner.attachments import Component, components
from planner.edge_cost import edge_cost
from planner.evaluate import Evaluation, cloud_compute_f8, evaluate, net_qps
from planner.fits import TOLERANCE, room
from planner.options import EdgeForm, Options
from planner.policies.outcome import conclude
from planner.policies.warm_start import warm_allocation
from planner.problem import FloatArray, Problem
from planner.programs.bundled import build_bundled
from planner.programs.bundled_program import BundledProgram
from planner.solution import Solution, Status
from planner.solvers import ProgramStatus, solve_program

__all__ = ["bundled_exact", "improve", "reroute"]

ROUNDS = 4
"""How often budgets are tightened at most."""
MARGIN = 1e-6
"""Part of a budget that is taken off beside what a plan is over it."""
HALVINGS = 30
LEAST_S = 0.05


@dataclass(frozen=True, eq=False)
class _Found:
    allocation: Allocation
    bound_qps: float
    optimal: bool
    solvers: frozenset[str]
    nodes: int


def bundled_exact(problem: Problem, options: Options) -> Solution:
    """Solve to `options.gap`, components apart unless F8 binds across them. Windows are planned
    with F9 and the options' fill (F6 for edges that do not batch)."""
    begun_s = time.perf_counter()
    form = options.edge_form or "batched"
    warm = warm_allocation(problem, options)
    parts = components(problem)
    pieces: list[tuple[Component, Allocation]] = []
    found: list[_Found] = []
    for position, part in enumerate(parts):
        share_s = _left_s(options, begun_s) / (len(parts) - position)
        held = None if warm is None else warm.part(part)
        found.append(_solve(part.piece(problem), form, options, held, share_s))
        pieces.append((part, found[-1].allocation))
    whole = _Found(
        join_pieces(problem, pieces),
        sum(each.bound_qps for each in found) * (1 + 1e-14 * len(parts)),
        all(each.optimal for each in found),
        frozenset[str]().union(*(each.solvers for each in found)),
        sum(each.nodes for each in found),
    )
    method = "branch and bound by component, shared passes (F14)"
    use = cloud_compute_f8(problem, whole.allocation, options.fill)
    if use.use_n[0] > room(use.budget_n[0]):
        method = "branch and bound, components joined by F8, shared passes (F14)"
        joined = _solve(problem, form, options, warm, _left_s(options, begun_s))
        thinned = _thinned(problem, whole.allocation, options)
        best = max(joined.allocation, thinned, key=lambda plan: net_qps(problem, plan))
        bound_qps = min(joined.bound_qps, whole.bound_qps)
        whole = replace(joined, allocation=best, bound_qps=bound_qps)
    value_qps = net_qps(problem, whole.allocation)
    return conclude(
        problem, options, "exact", form, whole.allocation,
        upper_bound_qps=whole.bound_qps, bound_method=method,
        solver=" and ".join(sorted(whole.solvers)) or "none", iterations=whole.nodes,
        trace_qps=(value_qps,), begun_s=begun_s, late=not whole.optimal,
    )  # fmt: skip


def improve(problem: Problem, found: Solution, options: Options, time_s: float) -> Solution:
    """The better one of `found` and what the program finds from there in `time_s`, with the smaller
    one of both bounds; `found` itself if its gap is small enough. It has to keep every budget."""
    if found.certificate.gap <= options.gap:
        return found
    begun_s = time.perf_counter()
    tried = bundled_exact(problem, replace(options, warm_start=found, time_limit_s=time_s))
    best = max(found, tried, key=lambda solution: solution.objective)
    bounds = (found.certificate, tried.certificate)
    tightest = min(bounds, key=lambda certificate: certificate.upper_bound)
    return conclude(
        problem, options, found.policy, options.edge_form or "batched", best.allocation,
        upper_bound_qps=tightest.upper_bound * problem.total_load_qps,
        bound_method=tightest.bound_method, solver=tightest.solver,
        iterations=sum(certificate.iterations for certificate in bounds),
        trace_qps=(net_qps(problem, best.allocation),),
        begun_s=begun_s - found.certificate.runtime_s,
        late=tried.certificate.status is Status.TIME_LIMIT,
    )  # fmt: skip


def reroute(problem: Problem, plan: Allocation, options: Options, time_s: float) -> Allocation:
    """The best shares for the models of `plan`; `plan` itself if none better is found. It has to
    keep every budget."""
    form = options.edge_form or "batched"
    found = _solve(problem, form, options, plan, time_s, among=plan).allocation
    return max(plan, found, key=lambda each: net_qps(problem, each))


def _solve(
    problem: Problem,
    form: EdgeForm,
    options: Options,
    warm: Allocation | None,
    time_s: float,
    among: Allocation | None = None,
) -> _Found:
    """With `among`, its models alone may be used, and the bound is for plans with them."""
    begun_s = time.perf_counter()
    model = build_bundled(
        problem, fill=options.fill, cost=edge_cost(problem, form),
        allowed_cm=None if among is None else among.onloaded_cm,
        allowed_em=None if among is None else among.onloaded_em,
    )  # fmt: skip
    if not model.columns:
        return _Found(Allocation.empty(problem), 0.0, True, frozenset(), 0)
    limits = replace(options.limits(time_s), gap=0.9 * options.gap)
    start_v = None if warm is None else model.point(problem, warm)
    result = solve_program(model.program, limits, options.solver, start_v)
    first = _plan(problem, model, result.x_v)
    left_s = max(time_s - (time.perf_counter() - begun_s), LEAST_S)
    allocation = _held(problem, first, form, options, left_s)
    # A plan may take `room` of each budget, so it may be worth so much more.
    bound_qps = result.bound * (1 + TOLERANCE)
    optimal = result.status is ProgramStatus.OPTIMAL
    return _Found(allocation, bound_qps, optimal, frozenset({result.solver}), result.nodes)


def _plan(problem: Problem, model: BundledProgram, x_v: FloatArray | None) -> Allocation:
    if x_v is None:
        return Allocation.empty(problem)
    return unloaded(problem, cleaned(problem, model.allocation(problem, x_v)))


def _held(
    problem: Problem, plan: Allocation, form: EdgeForm, options: Options, time_s: float
) -> Allocation:
    """`plan`, or the best of the plans of its models that keep every budget of `problem`."""
    begun_s = time.perf_counter()
    allowed_cm, allowed_em = plan.onloaded_cm, plan.onloaded_em
    best = Allocation.empty(problem)
    narrowed = problem
    for rounds_left in reversed(range(ROUNDS + 1)):
        evaluation = _evaluated(problem, plan, options)
        kept = plan if evaluation.feasible else _thinned(problem, plan, options)
        best = max(best, kept, key=lambda plan: net_qps(problem, plan))
        left_s = time_s - (time.perf_counter() - begun_s)
        if evaluation.feasible or not rounds_left or left_s <= 0:
            break
        narrowed = _narrowed(narrowed, evaluation)
        model = build_bundled(
            narrowed, fill=options.fill, cost=edge_cost(narrowed, form), allowed_cm=allowed_cm,
            allowed_em=allowed_em,
        )  # fmt: skip
        if not model.columns:
            break
        result = solve_program(model.program, options.limits(left_s), options.solver)
        plan = _plan(problem, model, result.x_v)
    return best


def _evaluated(problem: Problem, plan: Allocation, options: Options) -> Evaluation:
    batching = options.edge_form != "unbatched"
    return evaluate(problem, plan, fill=options.fill, batching=batching)


def _narrowed(problem: Problem, evaluation: Evaluation) -> Problem:
    """`problem` with the budgets that a plan breaks smaller by as much as it is over them."""

    def factor_n(label: str) -> FloatArray:
        usage = evaluation.usages[label]
        over_n = usage.use_n > room(usage.budget_n)
        part_n = usage.budget_n * (1 - MARGIN) / np.where(over_n, usage.use_n, 1.0)
        return np.where(over_n, part_n, 1.0)

    C, E = len(problem.clients), len(problem.edges)
    links_n = factor_n("F7")
    uplink_a = problem.uplink_a.copy()
    uplink_a[problem.limited_attachments] *= links_n[C + E :]
    edge_e = factor_n("F9" if evaluation.batching else "F6")
    return problem.changed(
        client_compute_c=problem.client_compute_c * factor_n("F5"),
        edge_compute_e=problem.edge_compute_e * edge_e,
        client_uplink_c=problem.client_uplink_c * links_n[:C],
        edge_uplink_e=problem.edge_uplink_e * links_n[C : C + E],
        uplink_a=uplink_a,
        cloud_compute=problem.cloud_compute * float(factor_n("F8")[0]),
    )


def _thinned(problem: Problem, plan: Allocation, options: Options) -> Allocation:
    """`plan` with the largest part of its shares, the same of all, that keeps every budget."""

    def part(factor: float) -> Allocation:
        return unloaded(
            problem,
            replace(
                plan, local_ctm=factor * plan.local_ctm, edge_atm=factor * plan.edge_atm,
                cloud_at=factor * plan.cloud_at,
            ),
        )  # fmt: skip

    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        if _evaluated(problem, part(middle), options).feasible:
            low = middle
        else:
            high = middle
    return part(low)


def _left_s(options: Options, begun_s: float) -> float:
    return max(options.time_limit_s - (time.perf_counter() - begun_s), LEAST_S)
