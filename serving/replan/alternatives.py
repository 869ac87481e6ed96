"""The plans that a decision chooses from: the one in force, new shares for it, and new plans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from planner.allocation import Allocation
from planner.evaluate import evaluate
from planner.moving import Moving
from planner.plan import Plan, PlanError, allocation_of, plan_of
from planner.policies import PAYS_FOR_LOADS, Options, solve, solve_shares
from planner.problem import FloatArray, Problem
from planner.solution import Solution
from serving.replan.decision_input import DecisionOptions
from serving.replan.home_models import home_models_of, with_better_homes
from serving.replan.moving_cost import LoadingLoss
from serving.replan.plan_alternative import AlternativeKind, PlanAlternative
from serving.replan.scenarios import Moments

__all__ = ["better_homes", "find_alternatives", "find_new_shares", "routes_in_force"]


def routes_in_force(problem: Problem, plan: Plan) -> Allocation:
    """`plan` as arrays, without routes that the problem no longer knows (a model that the cloud
    has given up, say): their queries are lost."""
    try:
        return allocation_of(problem, plan)
    except PlanError:
        known = [route for route in plan.routes if _is_known(problem, plan, route)]
        return allocation_of(
            problem, plan.model_copy(update={"routes": tuple(known), "onloading": {}})
        )


def _is_known(problem: Problem, plan: Plan, route: object) -> bool:
    try:
        allocation_of(problem, plan.model_copy(update={"routes": (route,), "onloading": {}}))
    except PlanError:
        return False
    return True


def find_alternatives(
    problem: Problem,
    former_ct: FloatArray,
    present: Plan,
    absent: tuple[str, ...],
    options: DecisionOptions,
    moving: Moving | None = None,
) -> Iterator[PlanAlternative]:
    """The present plan first, then what the policy finds, with and without moving models.

    `problem` has the mean load, for which all shares are made. Models are chosen for it too, and
    for `former_ct`, the load of before, where that was larger: a plan for a load that is too much
    for it sheds a fixed share, in a lull as well, so only its models are taken. Each alternative
    comes once for every entry of `options.rooms`. One that would break a budget under the mean
    load is left out. Absent nodes keep the models that they had. A policy that can plan with
    moving costs (F16) does so where `moving` is given; it names what `present` holds.
    """
    yield _staying(problem, present)
    kept = _only_of(present, absent)
    for room in options.rooms:
        narrowed = _narrowed(problem, room)
        shares = _shares(narrowed, present, options)
        solved = _solved(narrowed, shares or present, options, moving)
        found = [
            (AlternativeKind.ROUTES, present, shares),
            (AlternativeKind.PLAN, kept, solved),
        ]
        if not np.allclose(former_ct, problem.load_ct):
            models = _solved(narrowed.changed(load_ct=former_ct), present, options, moving).plan
            found.append((AlternativeKind.PLAN, kept, _shares(narrowed, models, options)))
        for kind, held, solution in found:
            yield from _valid(problem, kind, room, held, solution)


def find_new_shares(
    problem: Problem, present: Plan, options: DecisionOptions
) -> Iterator[PlanAlternative]:
    """The present plan first, then the best shares for its models: linear programs only, and
    nothing to load. What `find_alternatives` yields too, in a fraction of the time."""
    yield _staying(problem, present)
    room = options.rooms[0]
    shares = _shares(_narrowed(problem, room), present, options)
    yield from _valid(problem, AlternativeKind.ROUTES, room, present, shares)


def _staying(problem: Problem, present: Plan) -> PlanAlternative:
    return PlanAlternative(AlternativeKind.STAY, 1.0, present, routes_in_force(problem, present))


def _valid(
    problem: Problem, kind: AlternativeKind, room: float, held: Plan, solution: Solution | None
) -> Iterator[PlanAlternative]:
    """The alternative that `solution` is, with what `held` holds beside it; nothing where there is
    none, or where it breaks a budget."""
    made = None if solution is None else _stated(problem, solution, held)
    if solution is not None and made is not None:
        yield PlanAlternative(kind, room, made, solution.allocation, solution.certificate)


def better_homes(
    problem: Problem,
    capacity: Problem,
    known: Sequence[PlanAlternative],
    moments: Moments,
    loss: LoadingLoss,
    absent: tuple[str, ...],
    horizon_s: float,
    options: DecisionOptions,
) -> list[PlanAlternative]:
    """Other models on clients for the plan in force and the new plans of `known`, where clients
    follow their queues; see `with_better_homes`. `capacity` has the load of `problem`."""
    present = known[0].plan
    found = []
    for other in known:
        if other.kind is AlternativeKind.ROUTES:
            continue
        held = with_better_homes(capacity, other.allocation, moments, loss, horizon_s)
        if held is other.allocation:
            continue
        homes = home_models_of(problem, held)
        clients = {name: models for name, models in homes.items() if name not in absent}
        models = other.plan.model_copy(update={"onloading": {**other.plan.onloading, **clients}})
        solution = _shares(problem, models, options)
        made = None if solution is None else _stated(problem, solution, _only_of(present, absent))
        if solution is not None and made is not None:
            found.append(
                PlanAlternative(AlternativeKind.PLAN, other.room, made, solution.allocation)
            )
    return found


def _only_of(plan: Plan, nodes: tuple[str, ...]) -> Plan:
    onloading = {node: plan.onloading[node] for node in nodes if node in plan.onloading}
    return plan.model_copy(update={"onloading": onloading})


def _narrowed(problem: Problem, room: float) -> Problem:
    return problem.changed(
        client_uplink_c=problem.client_uplink_c * room,
        uplink_a=problem.uplink_a * room,
        edge_uplink_e=problem.edge_uplink_e * room,
    )


def _shares(problem: Problem, held: Plan, options: DecisionOptions) -> Solution | None:
    """The best shares for the models of `held`; None if the problem knows or fits them no more."""
    try:
        return solve_shares(problem, held.onloading, _asked(options))
    except PlanError:
        return None


def _solved(
    problem: Problem, present: Plan | Solution, options: DecisionOptions, moving: Moving | None
) -> Solution:
    """The policy's plan, sought from the one in force where the problem still knows that, or from
    its best shares."""
    asked = _asked(options)
    pays = options.policy in PAYS_FOR_LOADS and not problem.asks_together
    try:
        known = replace(asked, warm_start=present, moving=moving if pays else None)
        return solve(problem, options.policy, known)
    except PlanError:
        return solve(problem, options.policy, asked)


def _asked(options: DecisionOptions) -> Options:
    return Options(
        fill=options.fill,
        gap=options.gap,
        seed=options.seed,
        time_limit_s=options.solver_limit_s,
        tight_bound=False,  # a decision goes by values; the bound is for its log
    )


def _stated(problem: Problem, found: Solution, kept: Plan) -> Plan | None:
    """The plan of `found` with what `kept` holds beside it; None if it breaks a budget."""
    evaluation = evaluate(problem, found.allocation)
    if not evaluation.feasible:
        return None
    plan = plan_of(
        problem,
        found.allocation,
        policy=found.policy,
        fill=found.fill,
        overrun=found.overrun,
        predicted=evaluation.summary(),
    )
    return plan.model_copy(update={"onloading": {**plan.onloading, **kept.onloading}})
