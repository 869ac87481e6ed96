"""Routes that keep F11 for the models of a plan: less of it, or what its windows have room for.

A policy plans under F9 with a part of each window. For its models that part is too much, so that
queries must be shed (`thin`), or too little, so that the window stays half empty (`refilled`). With
the work of F11 replaced by its tangent at the plan, the best routes are a linear program. As work
rises less than in proportion (p(n) and the square root are concave), a plan that keeps the tangent
keeps F11 as a rule; where it does not, it is mixed with the plan before, which does.

Axis letters: e edge, a attachment, g component, m model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.allocation import Allocation, merge, tidy
from planner.batch_work import poisson_work
from planner.edge_cost import EdgeCost
from planner.evaluate import edge_window_f9, window_work_f11
from planner.fits import room
from planner.options import Options
from planner.problem import FloatArray, Problem
from planner.programs.offloading import Tiers, route, value_by_group

__all__ = ["WindowTangent", "crossed", "refilled", "tangent_of", "thin"]

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
HALVINGS = 24
SMALLEST_GAIN = 1e-6
STEP = 0.01
"""By how much a model's queries rise to see what they add to the work."""


def thin(
    problem: Problem, allocation: Allocation, overrun: float | None, fill: float = 1.0
) -> Allocation:
    """Shed edge queries of each edge in proportion until F11 holds there, and F9 too where batches
    take what was measured (F15): plans are made with lines. Without `overrun`, until F9 holds with
    the part `fill` of the window."""

    def scaled(factor_e: FloatArray) -> Allocation:
        factor_a = factor_e[problem.edge_of_a]
        return replace(allocation, edge_atm=allocation.edge_atm * factor_a[:, None, None])

    def holds_e(plan: Allocation) -> BoolArray:
        held_e = np.ones(len(problem.edges), dtype=bool)
        if overrun is not None:
            usage = window_work_f11(problem, plan, overrun)
            held_e &= usage.use_n <= usage.budget_n
        if problem.curved or overrun is None:
            usage = edge_window_f9(problem, plan, fill if overrun is None else 1.0)
            held_e &= usage.use_n <= room(usage.budget_n)
        return held_e

    whole_e = holds_e(allocation)
    if whole_e.all():
        return allocation
    low_e, high_e = np.zeros(len(problem.edges)), np.ones(len(problem.edges))
    for _ in range(HALVINGS):
        middle_e = 0.5 * (low_e + high_e)
        good_e = holds_e(scaled(middle_e))
        low_e, high_e = np.where(good_e, middle_e, low_e), np.where(good_e, high_e, middle_e)
    return scaled(np.where(whole_e, 1.0, low_e))


def refilled(
    problem: Problem, plan: Allocation, overrun: float, options: Options, group_e: IntArray
) -> Allocation:
    """`plan`, or better routes for the models it uses, by component (`group_e`).

    `plan` keeps F11, and so does what is returned. One linear program.
    """
    if not plan.edge_atm.any():
        return plan
    found = _along_tangent(problem, plan, overrun, options)
    value_g = value_by_group(problem, plan, group_e) * (1 + SMALLEST_GAIN)
    better_g = value_by_group(problem, found, group_e) > value_g
    return _mixed(problem, plan, found, better_g[group_e], group_e, overrun)


def crossed(
    problem: Problem,
    best: Allocation,
    others: Sequence[Allocation],
    overrun: float,
    options: Options,
    group_e: IntArray,
) -> Allocation:
    """`best`, or its clients' models with the edge models of one of `others`, where that is worth
    more, by component.

    Where no part of a window has room for a set-up, the best plan may leave an edge empty whose
    models another one overfills. All plans keep F11. A linear program for each whose edges differ.
    """
    value_g = value_by_group(problem, best, group_e)
    seen = [best.onloaded_em]
    for other in others:
        if any(np.array_equal(other.onloaded_em, onloaded_em) for onloaded_em in seen):
            continue
        seen.append(other.onloaded_em)
        start = replace(other, onloaded_cm=best.onloaded_cm)
        found = thin(problem, _along_tangent(problem, start, overrun, options), overrun)
        found_g = value_by_group(problem, found, group_e)
        better_e = (found_g > value_g * (1 + SMALLEST_GAIN))[group_e]
        better_e &= _holds_e(problem, found, overrun, group_e)
        best = merge(problem, best, found, better_e)
        value_g = value_by_group(problem, best, group_e)
    return best


@dataclass(frozen=True, eq=False)
class WindowTangent:
    """F11 at a plan as a row of a program: what one more query of each model adds to a window."""

    problem: Problem
    """with the part of each window that the row leaves"""
    cost: EdgeCost
    used_em: BoolArray
    """models that the plan sends queries to"""


def tangent_of(problem: Problem, plan: Allocation, overrun: float, fill: float) -> WindowTangent:
    """The tangent of F11 at `plan`, for a program that takes the part `fill` of each budget."""
    queries_em = problem.window_e[:, None] * plan.edge_rate_em(problem)
    usage = window_work_f11(problem, plan, overrun)
    slope_em = np.zeros_like(queries_em)
    for m in np.flatnonzero(queries_em.any(axis=0)):
        edge_atm = plan.edge_atm.copy()
        edge_atm[:, :, m] *= 1 + STEP
        more_e = window_work_f11(problem, replace(plan, edge_atm=edge_atm), overrun).use_n
        rise_e = STEP * queries_em[:, m]
        slope_em[:, m] = np.divide(
            more_e - usage.use_n, rise_e, out=np.zeros_like(rise_e), where=rise_e > 0
        )
    least_em = problem.edge_marginal_em
    if problem.curved:
        least_em = poisson_work(problem, queries_em).rise_em
    slope_em = np.maximum(slope_em, least_em)
    budget_e = usage.slack_n + (slope_em * queries_em).sum(axis=1)
    part_e = np.maximum(budget_e, 0.0) / problem.window_e / fill
    piece = problem.changed(edge_compute_e=part_e)
    return WindowTangent(piece, EdgeCost(np.zeros_like(slope_em), slope_em), queries_em > 0)


def _along_tangent(
    problem: Problem, plan: Allocation, overrun: float, options: Options
) -> Allocation:
    """The best routes for the plan's models whose work keeps the tangent of F11 at `plan`."""
    tangent = tangent_of(problem, plan, overrun, options.fill)
    found = route(
        tangent.problem, plan.onloaded_cm, tangent.used_em, tangent.cost, options, Tiers()
    ).allocation
    # Whether its windows hold is for `_mixed` to see.
    used_e = edge_window_f9(problem, found, options.fill).use_n
    roomy = problem.changed(edge_compute_e=1 + used_e / options.fill / problem.window_e)
    return tidy(roomy, found, fill=options.fill, batched=True)


def _mixed(
    problem: Problem,
    old: Allocation,
    new: Allocation,
    wanted_e: BoolArray,
    group_e: IntArray,
    overrun: float,
) -> Allocation:
    """`old` with as much of `new` as F11 allows, in the components marked.

    Their models are those of one plan, so that any mix keeps all other budgets.
    """

    def mix(part_e: FloatArray) -> Allocation:
        part_a = part_e[problem.edge_of_a]
        part_c = np.zeros(len(problem.clients))
        part_c[problem.client_of_a] = part_a
        ctm, atm, at = part_c[:, None, None], part_a[:, None, None], part_a[:, None]
        return replace(
            old,
            local_ctm=old.local_ctm + ctm * (new.local_ctm - old.local_ctm),
            edge_atm=old.edge_atm + atm * (new.edge_atm - old.edge_atm),
            cloud_at=old.cloud_at + at * (new.cloud_at - old.cloud_at),
        )

    whole_e = _holds_e(problem, new, overrun, group_e)
    kept = merge(problem, old, new, wanted_e & whole_e)
    low_e, high_e = np.zeros(len(problem.edges)), np.ones(len(problem.edges))
    torn_e = wanted_e & ~whole_e
    if not torn_e.any():
        return kept
    for _ in range(HALVINGS):
        middle_e = 0.5 * (low_e + high_e)
        good_e = _holds_e(problem, mix(middle_e), overrun, group_e)
        low_e, high_e = np.where(good_e, middle_e, low_e), np.where(good_e, high_e, middle_e)
    return merge(problem, kept, mix(low_e), torn_e)


def _holds_e(problem: Problem, plan: Allocation, overrun: float, group_e: IntArray) -> BoolArray:
    """Whether every edge of an edge's component keeps F11, and F9 with the whole window."""
    window_e = problem.edge_compute_e * problem.window_e
    over_e = window_work_f11(problem, plan, overrun).use_n > window_e
    over_e |= edge_window_f9(problem, plan, 1.0).use_n > room(window_e)
    over_g = np.bincount(group_e, weights=over_e, minlength=int(group_e.max()) + 1) > 0
    return np.asarray(~over_g[group_e])
