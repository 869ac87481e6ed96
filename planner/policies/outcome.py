"""From an allocation to a checked `Solution`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from planner.allocation import Allocation
from planner.certificate import Certificate, Status, relative_gap, status_of
from planner.curve_lines import curve_error
from planner.evaluate import evaluate, net_qps
from planner.options import EdgeForm, Options
from planner.problem import FloatArray, Problem
from planner.programs.bound import relax
from planner.solution import Solution

__all__ = ["InvalidPlanError", "conclude", "conclude_below_relaxation"]


class InvalidPlanError(RuntimeError):
    """A policy produced a plan that breaks a constraint: a fault of the policy, never ignored."""


def conclude(
    problem: Problem,
    options: Options,
    policy: str,
    form: EdgeForm,
    allocation: Allocation,
    *,
    upper_bound_qps: float,
    bound_method: str,
    solver: str,
    iterations: int,
    trace_qps: tuple[float, ...],
    begun_s: float,
    late: bool = False,
    overrun: float | None = None,
    prices: Mapping[str, FloatArray] | None = None,
    iterates_qps: Mapping[str, tuple[float, ...]] | None = None,
) -> Solution:
    """Evaluate `allocation` with the options' fill, windows with `overrun` (F11), and certify it.

    Edges are held to the true F9, and to F6 where the policy planned with it; to F6 alone when
    the options ask for edges that do not batch. For the objectives of F19, bound and trace are the
    objective times the load. `late` says that a clock stopped the search before the policy's own
    did. Raises `InvalidPlanError` when a constraint is broken or the value exceeds the upper bound.
    """
    load_qps = max(problem.total_load_qps, 1e-300)
    batching = options.edge_form != "unbatched"
    evaluation = evaluate(
        problem, allocation, fill=options.fill, batching=batching, overrun=overrun,
        energy=options.energy,
    )  # fmt: skip
    broken = evaluation.violations()
    if form == "unbatched" and batching:
        broken += evaluate(problem, allocation, fill=options.fill, batching=False).violations()
    if broken:
        raise InvalidPlanError(f"{policy}: {broken[0]} ({len(broken)} broken)")
    upper_bound = upper_bound_qps / load_qps if problem.total_load_qps > 0 else 0.0
    objective = evaluation.value(options.objective)
    if objective > upper_bound * (1 + 1e-7) + 1e-12:
        raise InvalidPlanError(f"{policy}: objective {objective} exceeds its bound {upper_bound}")
    upper_bound = max(upper_bound, objective)
    gap = relative_gap(objective, upper_bound)
    runtime_s = time.perf_counter() - begun_s
    late = late or runtime_s > options.time_limit_s
    certificate = Certificate(
        objective=objective,
        upper_bound=upper_bound,
        gap=gap,
        status=status_of(gap, options.gap, late=late),
        runtime_s=runtime_s,
        bound_method=bound_method,
        solver=solver,
        iterations=iterations,
        maximised=options.objective,
        curve_error=curve_error(problem, allocation),
    )
    trace = tuple(value / load_qps for value in trace_qps)
    iterates = {
        start: tuple(value / load_qps for value in values)
        for start, values in (iterates_qps or {}).items()
    }
    return Solution(
        problem, policy, options.fill, allocation, evaluation, certificate, trace, prices or {},
        overrun=overrun, edge_form=form, iterates=iterates,
    )  # fmt: skip


def conclude_below_relaxation(
    problem: Problem,
    options: Options,
    policy: str,
    allocation: Allocation,
    searches: Sequence[Solution] = (),
    *,
    begun_s: float,
) -> Solution:
    """`conclude` for a policy without a bound of its own: the linear relaxation of `problem` is it.

    `searches` are the solutions of other problems, restricted or with other values, that the plan
    was found by: their solver, iterations and time limit are stated, and their bounds are not.
    """
    form = options.edge_form or "batched"
    relaxation = relax(problem, form, options)
    value_qps = net_qps(problem, allocation)
    return conclude(
        problem, options, policy, form, allocation,
        upper_bound_qps=relaxation.bound_qps, bound_method=relaxation.method,
        solver=searches[-1].certificate.solver if searches else "HiGHS",
        iterations=max(sum(found.certificate.iterations for found in searches), 1),
        trace_qps=(value_qps,), begun_s=begun_s,
        late=any(found.certificate.status is Status.TIME_LIMIT for found in searches),
    )  # fmt: skip
