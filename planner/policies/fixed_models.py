"""The best shares for models that stay where they are: a change of routes only.

Axis letters: c client, e edge, m model.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from cluster.errors import InputError
from planner.allocation import Allocation
from planner.bursts.curved_windows import plan_with_curves
from planner.bursts.headroom import BoundOf, plan_with_headroom
from planner.certificate import relative_gap
from planner.edge_cost import EdgeCost
from planner.evaluate import Violation, evaluate, memory_f4
from planner.fits import room
from planner.options import Options
from planner.passes import apart
from planner.plan import Plan, PlanError, allocation_of
from planner.policies.arrangements import prepared
from planner.policies.bundled_exact import reroute
from planner.policies.outcome import conclude
from planner.problem import Problem
from planner.programs.bound import trivial_bound_qps
from planner.programs.offloading import Tiers, route, route_form
from planner.solution import Solution

__all__ = ["held_models", "memory_over", "route_held", "solve_shares"]

LAST_QPS = 1e-9
LEAST_S = 0.1
BOUND = "every query by the best model of its task"


def solve_shares(
    problem: Problem, onloading: Mapping[str, Collection[str]], options: Options | None = None
) -> Solution:
    """The best routes (F1-F9, F11) when every node holds the models of `onloading`, node -> models.

    It takes linear programs only, so it is the quick answer to a change of load: nothing is loaded,
    routers turn at once. All of `onloading` stays onloaded, also models that get no query. The
    certificate's bound is that of a perfect planner (`BOUND`): cheap, and far above.

    Where images are asked several tasks (F14), the routes are the best ones that are found for
    shared passes. Raises `InputError` for another objective than the mean and for energy (F18), and
    `PlanError` for a name that the problem does not know, or for models that do not fit their
    node's memory together (F4).

        solve_shares(problem, plan.onloading).plan   # routes anew for the load of `problem`
    """
    asked = replace(options or Options(), moving=None)
    if asked.objective != "mean":
        raise InputError(
            f"shares for given models are planned for the mean accuracy, not for "
            f"{asked.objective!r} (F19); plan anew with the policy exact"
        )
    if asked.energy is not None:
        raise InputError(
            "shares for given models are planned without energy (F18); plan anew with the policy "
            "exact"
        )
    if problem.asks_together:
        asked = asked.for_bundles()
    options = asked.resolved("batched")
    planned = apart(problem) if problem.asks_together else prepared(problem, asked)
    held = held_models(problem, onloading)
    over = memory_over(problem, held)
    if over:
        raise PlanError(
            f"onloading.{over[0].node}: its models take {over[0].use:.6g} bytes, "
            f"{over[0].node} has {over[0].budget:.6g}"
        )
    begun_s = time.perf_counter()
    solution = route_held(planned, held, options, policy="shares", bound_of=_best_models_bound)
    if planned is problem:
        return solution
    allocation = solution.allocation
    if problem.asks_together:
        left_s = max(options.time_limit_s - (time.perf_counter() - begun_s), LEAST_S)
        rerouted = reroute(problem, allocation, options, left_s)
        allocation = replace(rerouted, onloaded_cm=held.onloaded_cm, onloaded_em=held.onloaded_em)
    evaluation = evaluate(
        problem, allocation, fill=options.fill,
        batching=options.edge_form != "unbatched", overrun=solution.overrun,
    )  # fmt: skip
    objective = evaluation.value("mean")
    gap = relative_gap(objective, solution.certificate.upper_bound)
    certificate = solution.certificate.model_copy(update={"objective": objective, "gap": gap})
    return replace(
        solution, problem=problem, allocation=allocation, evaluation=evaluation,
        certificate=certificate,
    )  # fmt: skip


def held_models(problem: Problem, onloading: Mapping[str, Collection[str]]) -> Allocation:
    """What the nodes of `onloading`, node -> models, hold, without any route. Raises `PlanError`
    for a name that the problem does not know."""
    named = {node: tuple(models) for node, models in onloading.items()}
    return allocation_of(
        problem, Plan(problem_digest=problem.digest, policy="shares", onloading=named, routes=())
    )


def memory_over(problem: Problem, held: Allocation) -> list[Violation]:
    """Nodes whose models do not fit their memory together (F4)."""
    usage = memory_f4(problem, held, 1.0)
    return [
        Violation("F4", name, float(use), float(budget), usage.unit)
        for name, use, budget in zip(usage.names, usage.use_n, usage.budget_n, strict=True)
        if use > room(budget)
    ]


def route_held(
    problem: Problem, held: Allocation, options: Options, *, policy: str, bound_of: BoundOf
) -> Solution:
    """The best routes for the models of `held`, all of which stay onloaded, also those that get no
    query. `bound_of` bounds what any plan could reach.

    `held` must fit memory (`memory_over`), and `options` be resolved.
    """
    form = options.edge_form or "batched"
    models = (held.onloaded_cm, held.onloaded_em)
    stepwise = options.overrun is not None or problem.curved

    def run(piece: Problem, inner: Options) -> Solution:
        begun_s = time.perf_counter()
        free = EdgeCost(np.zeros_like(piece.edge_setup_em), piece.edge_marginal_em)
        wanted_em = route(piece, *models, free, inner, Tiers()).allocation.edge_rate_em(piece)
        # Models that are not wanted while setups are free come last, but they are tried.
        order_em = wanted_em + LAST_QPS * held.onloaded_em
        found = route_form(piece, *models, form, inner, Tiers(), order_em)
        # In several steps, that of each counts for nothing: one for the whole follows at the end.
        bound = _best_models_bound if stepwise else bound_of
        bound_qps, method = bound(piece, inner)
        return conclude(
            piece, inner, policy, form, found.allocation,
            upper_bound_qps=bound_qps, bound_method=method, solver="HiGHS", iterations=1,
            trace_qps=(found.value_qps,), begun_s=begun_s,
        )  # fmt: skip

    if options.overrun is not None:
        solution = plan_with_headroom(problem, run, options, bound_of=bound_of, best_routes=True)
    elif problem.curved:
        solution = plan_with_curves(problem, run, options, bound_of=bound_of, form=form)
    else:
        solution = run(problem, options)
    allocation = replace(
        solution.allocation, onloaded_cm=held.onloaded_cm, onloaded_em=held.onloaded_em
    )
    evaluation = evaluate(
        problem, allocation, fill=options.fill, batching=options.edge_form != "unbatched",
        overrun=solution.overrun,
    )  # fmt: skip
    return replace(solution, allocation=allocation, evaluation=evaluation)


def _best_models_bound(problem: Problem, options: Options) -> tuple[float, str]:
    return trivial_bound_qps(problem), BOUND
