"""Lines nu + c b in the place of measured curves (F15): every policy plans with lines.

A line above the curve near the sizes that a plan uses is safe there: what the plan takes by the
line, it takes at most by the curve. Lines below the curve at every size make a problem that every
plan fits which fits the curve: its bound is a bound. Between the two lies the curve's error.

Example: 10, 20 and 24 ms for batches of one, two and four, which no window exceeds. Near three
queries 16 + 2 b lies above the curve and 6 b below it: 22 and 18 ms where the curve has 22 ms.

Axis letters: e edge, m model, b end of a piece of a curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.allocation import Allocation
from planner.batch_work import mean_work_em, one_query_em, pieces, seconds_at
from planner.batches import batches_em
from planner.options import EdgeForm
from planner.paths import most_asked_em
from planner.problem import FloatArray, Problem

__all__ = ["Lines", "curve_error", "first_lines", "lines_above", "lines_below"]

NEAR = 1.5
"""A size is near another up to this factor."""
UNDER = 1 - 1e-9
"""covers the rounding of lines that must not lie above a curve"""
HAIR = 1e-6
"""Part of a size by which two are told apart."""


@dataclass(frozen=True, eq=False)
class Lines:
    """nu and c of every model at every edge."""

    setup_em: FloatArray
    """seconds a batch"""
    marginal_em: FloatArray
    """seconds a query"""

    def of(self, problem: Problem) -> Problem:
        """`problem` with these lines instead of its curves."""
        shape = (*self.setup_em.shape, 0)
        return problem.changed(
            edge_setup_em=self.setup_em,
            edge_marginal_em=self.marginal_em,
            curve_sizes_z=np.zeros(0),
            edge_curve_emz=np.zeros(shape),
        )

    def work_em(self, problem: Problem, queries_em: FloatArray) -> FloatArray:
        """Seconds that `queries_em` queries take a window by these lines."""
        number_em = batches_em(problem, queries_em)
        return np.asarray(self.setup_em * number_em + self.marginal_em * queries_em)


def first_lines(problem: Problem, form: EdgeForm) -> Lines:
    """The lines that were fitted to the measurements. For edges that do not batch (F6) they go
    through the time of one query, which alone counts there."""
    setup_em, marginal_em = problem.edge_setup_em, problem.edge_marginal_em
    if form == "batched":
        return Lines(setup_em, marginal_em)
    one_em = one_query_em(problem)
    marginal_em = np.minimum(marginal_em, one_em)
    return Lines(one_em - marginal_em, marginal_em)


def lines_above(
    problem: Problem, queries_em: FloatArray, before: Lines, near: float = NEAR
) -> Lines:
    """Lines that lie above the curves at sizes near those of `queries_em` queries a window, and as
    low as that allows; those of `before` where there are none.

    Near are sizes up to `near` times as large or small; of a model with several batches a window,
    those from its last one's to B_e.
    """
    sizes_b, curve_emb = pieces(problem)
    low_em, high_em = _near(problem, queries_em, near)
    # Ends of pieces that are not near count as the nearest size that is.
    near_emb = np.clip(np.append(sizes_b, np.inf), low_em[:, :, None], high_em[:, :, None])
    time_emb = seconds_at(sizes_b, curve_emb[:, :, None, :], near_emb)
    marginal_em = _ratio(time_emb[:, :, -1] - time_emb[:, :, 0], high_em - low_em, 0.0)
    setup_em = (time_emb - marginal_em[:, :, None] * near_emb).max(axis=2)
    through_0_em = _ratio(time_emb, near_emb, 0.0).max(axis=2)
    marginal_em = np.where(setup_em < 0, through_0_em, marginal_em)
    used_em = queries_em > 0
    return Lines(
        np.where(used_em, np.maximum(setup_em, 0.0), before.setup_em),
        np.where(used_em, marginal_em, before.marginal_em),
    )


def lines_below(problem: Problem, form: EdgeForm, queries_em: FloatArray | None = None) -> Lines:
    """Lines that lie nowhere above the curves, up to the largest batch that may be asked for, and
    are highest at the sizes of `queries_em` queries a window (where there are none: in the middle).

    For edges that do not batch (F6) they go through the time of one query: F6 is then the same.
    """
    if form == "unbatched":
        return first_lines(problem, form)
    sizes_b, curve_emb = pieces(problem)
    largest_em = _largest_em(problem)
    at_em = np.sqrt(np.maximum(largest_em, 1.0))
    if queries_em is not None:
        number_em = np.maximum(batches_em(problem, queries_em), 1.0)
        at_em = np.where(queries_em > 0, queries_em / number_em, at_em)
    # At an end all chords that meet there are as low: a hair before it only the hull's is lowest.
    at_em = np.clip(at_em, 0.0, largest_em) * (1 - HAIR)
    end_emb = np.minimum(np.append(sizes_b, np.inf), largest_em[:, :, None])
    time_emb = seconds_at(sizes_b, curve_emb[:, :, None, :], end_emb)
    # The lower hull's piece at a size is the lowest of all chords over it.
    lowest_em = np.full(at_em.shape, np.inf)
    setup_em, marginal_em = np.zeros(at_em.shape), np.zeros(at_em.shape)
    for i in range(end_emb.shape[2]):
        for j in range(i + 1, end_emb.shape[2]):
            begin_em, end_em = end_emb[:, :, i], end_emb[:, :, j]
            rise_em = time_emb[:, :, j] - time_emb[:, :, i]
            slope_em = _ratio(rise_em, end_em - begin_em, 0.0)
            value_em = time_emb[:, :, i] + slope_em * (at_em - begin_em)
            over_em = (begin_em <= at_em) & (at_em <= end_em) & (begin_em < end_em)
            lower_em = over_em & (value_em < lowest_em)
            lowest_em = np.where(lower_em, value_em, lowest_em)
            marginal_em = np.where(lower_em, slope_em, marginal_em)
            setup_em = np.where(lower_em, time_emb[:, :, i] - slope_em * begin_em, setup_em)
    through_0_em = _ratio(time_emb, end_emb, np.inf).min(axis=2)
    through_0_em = np.where(np.isfinite(through_0_em), through_0_em, 0.0)
    marginal_em = np.where(setup_em < 0, through_0_em, marginal_em)
    return Lines(np.maximum(setup_em, 0.0) * UNDER, marginal_em * UNDER)


def curve_error(problem: Problem, allocation: Allocation) -> float | None:
    """How far apart lines above and below the curves are at the batch sizes of a plan, relative to
    the work of its windows; None for a problem without curves."""
    if not problem.curved:
        return None
    queries_em = problem.window_e[:, None] * allocation.edge_rate_em(problem)
    work = float(mean_work_em(problem, queries_em).sum())
    if work <= 0:
        return 0.0
    above = lines_above(problem, queries_em, first_lines(problem, "batched"))
    below = lines_below(problem, "batched", queries_em)
    apart_em = above.work_em(problem, queries_em) - below.work_em(problem, queries_em)
    return max(float(apart_em.sum()) / work, 0.0)


def _near(problem: Problem, queries_em: FloatArray, near: float) -> tuple[FloatArray, FloatArray]:
    """The smallest and the largest batch that is near those of `queries_em` queries a window."""
    full_em = np.maximum(batches_em(problem, queries_em) - 1.0, 0.0)
    largest_em = np.broadcast_to(problem.edge_max_batch_e[:, None], queries_em.shape)
    last_em = queries_em - full_em * np.where(full_em > 0, largest_em, 0.0)
    last_em = np.maximum(last_em, 1e-9)
    high_em = np.where(full_em > 0, largest_em, np.minimum(near * last_em, largest_em))
    return np.minimum(last_em / near, high_em), high_em


def _largest_em(problem: Problem) -> FloatArray:
    """The largest batch of each model: B_e, or all queries a window that it may be asked."""
    return np.asarray(np.minimum(most_asked_em(problem), problem.edge_max_batch_e[:, None]))


def _ratio(over: FloatArray, under: FloatArray, other: float) -> FloatArray:
    """`over / under`, and `other` where that is 0 or less."""
    found: NDArray[np.float64] = np.full(np.broadcast_shapes(over.shape, under.shape), other)
    return np.divide(over, under, out=found, where=under > 0)
