"""The last step of an alternation: the best plan among all models that it came across.

An alternation moves from one set of models to the next, and each of its plans is the best for that
set alone. What one plan's clients hold may go well with what another's edges hold. So the last step
is the exact program of each component, with F9 or F6 as it is, over the models that any plan used
and those that the linear relaxation would hold a part of: few enough for a fraction of a second.

Axis letters: c client, e edge, m model.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.allocation import Allocation, join_pieces
from planner.attachments import components
from planner.evaluate import net_qps
from planner.options import EdgeForm, Options
from planner.policies.alternation import AlternationResult
from planner.problem import Problem
from planner.programs.among_models import plan_among
from planner.programs.bound import JOINT_SIZE, Relaxation
from planner.solvers import SolverLimits

__all__ = ["best_of_models", "closed"]

BoolArray = NDArray[np.bool_]
MOST_S = 3.0
"""for all components together"""
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
    plan = best_of_models(problem, result.allocation, models, form, options, left_s)
    value_qps = net_qps(problem, plan)
    return replace(result, allocation=plan, value_qps=value_qps, trace=(*result.trace, value_qps))


def best_of_models(
    problem: Problem,
    plan: Allocation,
    models: tuple[BoolArray, BoolArray],
    form: EdgeForm,
    options: Options,
    left_s: float,
) -> Allocation:
    """`plan`, or where it is worth more, the best plan found among `models` (c x m, e x m).

    Takes about `left_s` seconds at most, and no more than `MOST_S`. Where F8 couples more than
    `JOINT_SIZE` shares of clients, `plan` stays.
    """
    end_s = time.perf_counter() + min(left_s, MOST_S)
    if np.isfinite(problem.cloud_compute):  # F8 couples the components
        if int(models[0].sum()) * len(problem.tasks) > JOINT_SIZE:
            return plan
        return _searched(problem, plan, models, form, options, end_s - time.perf_counter())
    pieces = []
    parts = components(problem)
    for position, part in enumerate(parts):
        share_s = (end_s - time.perf_counter()) / (len(parts) - position)
        own = (models[0][part.clients], models[1][part.edges])
        held = plan.part(part)
        pieces.append((part, _searched(part.piece(problem), held, own, form, options, share_s)))
    return join_pieces(problem, pieces)


def _searched(
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
    if found is None or net_qps(problem, found) <= net_qps(problem, plan):
        return plan
    return found
