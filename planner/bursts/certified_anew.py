"""A plan that was made of others' plans, checked and certified as one of its own."""

from __future__ import annotations

import time
from dataclasses import replace

from planner.allocation import Allocation
from planner.certificate import relative_gap, status_of
from planner.curve_lines import curve_error
from planner.evaluate import evaluate
from planner.options import Options
from planner.problem import Problem
from planner.solution import Solution

__all__ = ["certified_anew"]


def certified_anew(
    problem: Problem,
    options: Options,
    last: Solution,
    allocation: Allocation,
    *,
    bound_qps: float,
    method: str,
    trace: tuple[float, ...],
    iterations: int,
    begun_s: float,
    late: bool,
) -> Solution:
    """`allocation` as a solution of `problem`, with what `last`, the plan of the last step, says of
    policy and solver.

    Windows are held to F11 where the options have an `overrun`, else to F9, and to F6 where the
    policy planned with it. Raises `RuntimeError` where a constraint is broken.
    """
    overrun = options.overrun
    assert not isinstance(overrun, str)
    batching = options.edge_form != "unbatched"
    evaluation = evaluate(
        problem, allocation, fill=options.fill, batching=batching, overrun=overrun,
        energy=options.energy,
    )  # fmt: skip
    broken = evaluation.violations()
    if last.edge_form == "unbatched" and batching and overrun is None:
        broken += replace(evaluation, batching=False).violations()
    if broken:
        raise RuntimeError(f"{last.policy}, plans of several steps: {broken[0]}")
    objective = evaluation.value(options.objective)
    upper_bound = max(bound_qps / max(problem.total_load_qps, 1e-300), objective)
    if problem.total_load_qps == 0:
        upper_bound = 0.0
    gap = relative_gap(objective, upper_bound)
    runtime_s = time.perf_counter() - begun_s
    certificate = last.certificate.model_copy(
        update={
            "objective": objective,
            "upper_bound": upper_bound,
            "gap": gap,
            "status": status_of(gap, options.gap, late=late or runtime_s > options.time_limit_s),
            "runtime_s": runtime_s,
            "bound_method": method,
            "iterations": iterations,
            "curve_error": curve_error(problem, allocation),
        }
    )
    return Solution(
        problem, last.policy, options.fill, allocation, evaluation, certificate, trace,
        last.prices, overrun, last.edge_form, last.iterates,
    )  # fmt: skip
