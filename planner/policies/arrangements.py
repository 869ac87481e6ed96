"""What surrounds every policy: bursts (F17) and loads (F16) before it, refuges after it.

A policy sees a problem: budgets of links that bursts leave, a price on every load. What it returns
is completed with models that answer in a burst or that may as well stay, and evaluated anew against
the problem as it was given.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from planner.allocation import Allocation
from planner.bursts.headroom import relaxed_bound
from planner.bursts.leftovers import route_leftovers
from planner.bursts.link_share import tolerated_overflow_c, with_link_headroom
from planner.bursts.refuges import keep_held, with_refuges
from planner.certificate import Status, relative_gap
from planner.curve_lines import curve_error, lines_below
from planner.edge_cost import edge_cost
from planner.evaluate import evaluate, net_qps
from planner.fairness.bound import fair_bound_qps
from planner.moving import charged
from planner.options import DEFAULT_OVERRUN, EdgeForm, Options
from planner.plan import allocation_of
from planner.policies.outcome import InvalidPlanError
from planner.problem import Problem
from planner.programs.bound import relax
from planner.programs.offloading import EVERYWHERE, Tiers
from planner.solution import Solution

__all__ = ["completed", "prepared", "upper_bound"]


def prepared(problem: Problem, options: Options) -> Problem:
    """`problem` as a policy plans it; itself where there is neither a burst nor a priced load."""
    planned = problem
    if options.overflow is not None:
        planned = with_link_headroom(planned, options.overflow, spillover=options.spillover)
    return planned if options.moving is None else charged(planned, options.moving)


def completed(
    problem: Problem,
    planned: Problem,
    options: Options,
    solution: Solution,
    stay: Allocation | None = None,
    *,
    tiers: Tiers = EVERYWHERE,
) -> Solution:
    """`solution` of `planned` as one of `problem`, with refuges and models that may stay, on those
    `tiers` that its policy serves on.

    `stay` is the plan that loads nothing: it is taken where it is worth more. Where bursts have
    narrowed links, what the plan sheds takes the rest of them (unless joules count, F18), and the
    certificate's bound is made anew for the budgets of `problem`. Raises `InvalidPlanError` when a
    constraint is broken.
    """
    if planned is problem and not options.spillover:
        return solution
    priced = problem if options.moving is None else charged(problem, options.moving)
    form: EdgeForm = "unbatched" if solution.edge_form == "unbatched" else "batched"
    resolved = options.resolved(form)
    allocation = solution.allocation
    bound, method = solution.certificate.upper_bound, solution.certificate.bound_method
    if stay is not None and net_qps(planned, stay) > net_qps(planned, allocation):
        allocation = stay
    if _narrower(planned, problem):
        if options.energy is None:  # what leftovers would draw is in no budget (F18)
            allocation = route_leftovers(
                priced, allocation, resolved, batched=form == "batched", tiers=tiers
            )
        bound_qps, method = upper_bound(priced, form, resolved)
        bound = bound_qps / max(problem.total_load_qps, 1e-300)
    if options.spillover and tiers.client:
        overflow_c = tolerated_overflow_c(
            planned, options.overflow or DEFAULT_OVERRUN, spillover=True
        )
        allocation = with_refuges(planned, allocation, overflow_c)
    if options.moving is not None and not options.moving.free:
        allocation = keep_held(planned, allocation, allocation_of(planned, options.moving.plan))
    evaluation = evaluate(
        problem, allocation, fill=options.fill, batching=options.edge_form != "unbatched",
        overrun=solution.overrun, moving=options.moving, energy=options.energy,
    )  # fmt: skip
    broken = evaluation.violations()
    if broken:
        raise InvalidPlanError(f"{solution.policy}, completed: {broken[0]} ({len(broken)} broken)")
    objective = evaluation.value(options.objective)
    bound = max(bound, objective)
    gap = relative_gap(objective, bound)
    status = solution.certificate.status
    if status is Status.OPTIMAL and gap > options.gap:
        status = Status.FEASIBLE
    certificate = solution.certificate.model_copy(
        update={
            "objective": objective, "upper_bound": bound, "gap": gap, "status": status,
            "bound_method": method, "curve_error": curve_error(problem, allocation),
        }
    )  # fmt: skip
    return replace(
        solution, problem=problem, allocation=allocation, evaluation=evaluation,
        certificate=certificate,
    )  # fmt: skip


def _narrower(planned: Problem, problem: Problem) -> bool:
    """Whether any link of `planned` has less than in `problem`."""
    names = ("client_uplink_c", "uplink_a", "edge_uplink_e")
    return any(np.any(getattr(planned, name) < getattr(problem, name)) for name in names)


def upper_bound(problem: Problem, form: EdgeForm, options: Options) -> tuple[float, str]:
    """An upper bound on the optimum (right answers/s) by the linear relaxation, for F11 where the
    options have an `overrun`, and how it was found; below curves that were measured (F15)."""
    if options.overrun is not None:
        return relaxed_bound(problem, options)
    if problem.curved:
        problem = lines_below(problem, form).of(problem)
    if options.objective != "mean":
        bound_qps = fair_bound_qps(
            problem, lambda piece: edge_cost(piece, form), options.fill, options
        )
        return bound_qps, "linear relaxation"
    found = relax(problem, form, options)
    return found.bound_qps, found.method
