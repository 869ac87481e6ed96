"""The last step of an alternation: the best plan among all models that it came across.

An alternation moves from one set of models to the next, and each of its plans is the best for that
set alone. What one plan's clients hold may go well with what another's edges hold. So the last step
seeks the best plan, with F9 or F6 as it is, in which every client holds models that any plan gave
it or that the linear relaxation would hold a part of.

A component of one edge is searched by `planner.decomposition`, from the best plan and the
relaxation's prices, and its edge may hold any model: few clients' models make that a matter of a
tenth of a second. A component of several edges (F12), and all of them together where F8 is broken
otherwise, is one exact program, in which edges too hold only what a plan or the relaxation did.

Axis letters: c client, e edge, m model.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.allocation import Allocation, join_pieces
from planner.attachments import Component, components
from planner.decomposition.component_search import SearchOptions, WarmComponent, search_component
from planner.edge_cost import edge_cost
from planner.evaluate import cloud_compute_f8, net_qps
from planner.fits import room
from planner.options import EdgeForm, Options
from planner.policies.alternation import AlternationResult
from planner.problem import Problem
from planner.programs.among_models import plan_among
from planner.programs.bound import JOINT_SIZE, Relaxation
from planner.programs.prices import Prices
from planner.solvers import SolverLimits

__all__ = ["best_of_models", "closed"]

BoolArray = NDArray[np.bool_]
MOST_S = 3.0
"""for all exact programs together"""
GAP = 1e-3
LEAST_S = 0.02
SUPPORT = 0.2
"""Part of a model from which the relaxation counts as holding it."""


def closed(
    problem: Problem,
    result: AlternationResult,
    relaxation: Relaxation,
    form: EdgeForm,
    options: Options,
    begun_s: float,
) -> AlternationResult:
    """The alternation's result with the plan of `best_of_models`, in the time that is left."""
    if result.value_qps >= relaxation.bound_qps * (1 - options.gap):
        return result
    models = (
        result.used[0] | (relaxation.onloaded_cm > SUPPORT),
        result.used[1] | (relaxation.onloaded_em > SUPPORT),
    )
    left_s = options.time_limit_s - (time.perf_counter() - begun_s)
    plan = best_of_models(
        problem, result.allocation, models, relaxation.prices, form, options, left_s
    )
    value_qps = net_qps(problem, plan)
    return replace(result, allocation=plan, value_qps=value_qps, trace=(*result.trace, value_qps))


def best_of_models(
    problem: Problem,
    plan: Allocation,
    models: tuple[BoolArray, BoolArray],
    prices: Prices,
    form: EdgeForm,
    options: Options,
    left_s: float,
) -> Allocation:
    """`plan`, or where it is worth more, the best plan found among `models` (c x m, e x m; an edge
    that shares no client holds any model), sought from `prices`.

    Takes about `left_s` seconds at most, and its exact programs no more than `MOST_S`. Where F8
    binds and couples more than `JOINT_SIZE` shares of clients, `plan` stays.
    """
    begun_s = time.perf_counter()
    found = _by_component(problem, plan, models, prices, form, options, left_s)
    use = cloud_compute_f8(problem, found, options.fill)
    if use.use_n[0] <= room(use.budget_n)[0]:
        return found
    if int(models[0].sum()) * len(problem.tasks) > JOINT_SIZE:
        return plan
    left_s -= time.perf_counter() - begun_s
    return _by_program(problem, plan, models, form, options, min(left_s, MOST_S))


def _by_component(
    problem: Problem,
    plan: Allocation,
    models: tuple[BoolArray, BoolArray],
    prices: Prices,
    form: EdgeForm,
    options: Options,
    left_s: float,
) -> Allocation:
    """`best_of_models` without F8."""
    end_s = time.perf_counter() + left_s
    pieces = []
    parts = components(problem)
    joined = sum(len(part.edges) > 1 for part in parts)
    for position, part in enumerate(parts):
        turn_s = (end_s - time.perf_counter()) / (len(parts) - position)
        held = plan.part(part)
        own = (models[0][part.clients], models[1][part.edges])
        piece = part.piece(problem)
        if len(part.edges) > 1:
            found = _by_program(piece, held, own, form, options, min(turn_s, MOST_S / joined))
        else:
            warm = _warm(held, prices, part)
            found = _by_decomposition(piece, held, own[0], warm, form, options, turn_s)
        pieces.append((part, found))
    return join_pieces(problem, pieces)


def _warm(plan: Allocation, prices: Prices, part: Component) -> WarmComponent:
    """What the search of a component begins from."""
    return WarmComponent(plan, plan.onloaded_em, prices.of_edges(part.edges)[None])


def _by_decomposition(
    problem: Problem,
    plan: Allocation,
    allowed_cm: BoolArray,
    warm: WarmComponent,
    form: EdgeForm,
    options: Options,
    time_s: float,
) -> Allocation:
    """The better of `plan` and the best found for one edge whose clients hold `allowed_cm`."""
    if time_s < LEAST_S:
        return plan
    bytes_cm = np.where(allowed_cm, problem.client_model_bytes_cm, np.inf)
    narrowed = problem.changed(client_model_bytes_cm=bytes_cm)
    limits = SearchOptions(options.fill, max(GAP, options.gap), time_s)
    found = search_component(narrowed, edge_cost(narrowed, form), limits, warm)
    return _better(problem, plan, found.allocation)


def _by_program(
    problem: Problem,
    plan: Allocation,
    models: tuple[BoolArray, BoolArray],
    form: EdgeForm,
    options: Options,
    time_s: float,
) -> Allocation:
    """The better of `plan` and what the exact program finds in `time_s`, starting from it."""
    if time_s < LEAST_S:
        return plan
    limits = SolverLimits(GAP, time_s, options.threads, options.seed)
    found, _ = plan_among(problem, models, form, options.fill, limits, "highs", plan)
    return plan if found is None else _better(problem, plan, found)


def _better(problem: Problem, plan: Allocation, found: Allocation) -> Allocation:
    """`found` where it is worth more."""
    return found if net_qps(problem, found) > net_qps(problem, plan) else plan
