"""The bound under F11 from searches of every component, with whole models, not shares of them.

`HeadroomRows` makes F11 linear where the variance of a window's work lies in a range. Each
component is searched (`planner.decomposition`) for ranges of its edges that leave no plan out; its
bound is the largest of these searches', and where it is largest the ranges are cut again.
"""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass, field, replace

import numpy as np

from planner.attachments import components, several_edges_c
from planner.bursts.headroom import relaxed_bound, with_models_that_fit
from planner.bursts.headroom_row import HeadroomRows
from planner.decomposition.component_search import SearchOptions, search_component
from planner.options import Options
from planner.problem import FloatArray, Problem

__all__ = ["decomposed_bound"]

MOST_SEARCHES = 9
"""of a component"""
LEAST_STEP, MOST_IDLE = 2e-4, 2
"""a search ends when so many cuts in a row have taken less than this part off the bound"""
SMALLEST = 0.25
"""part of a range down to 0 where it is cut"""
LEAST_GAP = 5e-4
"""to which the linear problem of a range is searched; how linear it is matters more"""
TIME_PART = 0.1
"""of the time limit: the plan may have used all of it"""
LEAST_S = 0.05


def decomposed_bound(problem: Problem, options: Options) -> tuple[float, str]:
    """An upper bound on the optimum under F11, right answers/s, and how it was found.

    Where another objective than the mean is planned for (F19), it is that of the linear relaxation;
    where F8 binds, edges share clients (F12), or the time did not suffice for the searches, the
    lower of both.
    """
    if options.objective != "mean":
        return relaxed_bound(problem, options)
    overrun = options.overrun
    assert isinstance(overrun, float)
    end_s = time.perf_counter() + TIME_PART * options.time_limit_s
    gap = max(options.gap, LEAST_GAP)
    bound_qps, late = 0.0, False
    fitting = with_models_that_fit(problem)
    parts = components(fitting)
    for number, part in enumerate(parts):
        turn_s = (end_s - time.perf_counter()) / (len(parts) - number)
        found_qps, stopped = _bound_of(part.piece(fitting), overrun, gap, options.fill, turn_s)
        bound_qps += found_qps
        late |= stopped
    bound_qps *= 1 + 1e-14 * max(len(parts), 1)
    method = "decomposition, every client and edge model set bounded (F11, linear by ranges)"
    loose = late or np.isfinite(problem.cloud_compute) or several_edges_c(problem).any()
    if loose:
        relaxed_qps, other = relaxed_bound(problem, options)
        if relaxed_qps < bound_qps:
            return relaxed_qps, other
    return bound_qps, method


@dataclass(frozen=True, order=True)
class _Searched:
    """A choice of the edges' ranges, and the most that any plan in them is worth; sorts with the
    worthiest first."""

    minus_qps: float
    number: int
    low_e: FloatArray = field(compare=False)
    high_e: FloatArray = field(compare=False)


def _bound_of(
    piece: Problem, overrun: float, gap: float, fill: float, turn_s: float
) -> tuple[float, bool]:
    """The bound of one component, and whether the time was short.

    The ranges whose bound is highest are cut in two, at the edge where that takes most off, until
    so many are searched that a component may have.
    """
    rows = HeadroomRows(piece, overrun)
    end_s = time.perf_counter() + turn_s
    window_e = piece.edge_compute_e * piece.window_e
    late, count = False, 0

    def search(low_e: FloatArray, high_e: FloatArray) -> _Searched | None:
        nonlocal late, count
        row = rows.between(low_e, high_e)
        left_e = window_e - row.constant_e
        if (left_e < 0).any():
            return None  # no plan has so much variance
        # A search takes `fill` of the edge's window; all of what is left is meant.
        narrowed = piece.changed(edge_compute_e=left_e / piece.window_e / fill)
        left_s = (end_s - time.perf_counter()) / max(MOST_SEARCHES - count, 1)
        limits = SearchOptions(fill, gap, max(left_s, LEAST_S), polish=False)
        found = search_component(narrowed, row.cost, limits)
        late |= found.late
        count += 1
        return _Searched(-found.bound_qps, count, low_e, high_e)

    heap = [each for each in [search(np.zeros_like(rows.root_e), rows.root_e)] if each]
    idle, last_qps = 0, np.inf
    while heap and count < MOST_SEARCHES and not late:
        worst = heapq.heappop(heap)
        idle = idle + 1 if -worst.minus_qps > (1 - LEAST_STEP) * last_qps else 0
        last_qps = -worst.minus_qps
        if idle == MOST_IDLE:
            heapq.heappush(heap, worst)
            break
        e = int(np.argmax(_chord_error_e(worst) / np.maximum(window_e, 1e-300)))
        middle_e = worst.high_e.copy()
        middle_e[e] = np.sqrt(worst.high_e[e] * max(worst.low_e[e], worst.high_e[e] * SMALLEST))
        above_e = worst.low_e.copy()
        above_e[e] = middle_e[e]
        for low_e, high_e in ((worst.low_e, middle_e), (above_e, worst.high_e)):
            found = search(low_e, high_e)
            if found is not None:
                minus_qps = max(found.minus_qps, worst.minus_qps)  # it holds for the parts too
                heapq.heappush(heap, replace(found, minus_qps=minus_qps))
    return (-heap[0].minus_qps if heap else 0.0), late


def _chord_error_e(found: _Searched) -> FloatArray:
    """Four times the most by which sqrt lies above its chord in each edge's range, seconds."""
    ends_e = found.high_e + found.low_e
    return np.asarray((found.high_e - found.low_e) ** 2 / np.maximum(ends_e, 1e-300))
