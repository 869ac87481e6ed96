"""The bound under F11 from a search of every component, with whole models, not shares of them.

`headroom_rows` makes F11 linear by ranges; each component is searched once for every choice of its
edges' ranges (`planner.decomposition`), and its bound is the largest of these searches'.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import product

import numpy as np

from planner.attachments import components, several_edges_c
from planner.bursts.headroom import relaxed_bound, with_models_that_fit
from planner.bursts.headroom_row import headroom_rows
from planner.decomposition.component_search import SearchOptions, search_component
from planner.edge_cost import EdgeCost
from planner.options import Options
from planner.problem import FloatArray, Problem

__all__ = ["decomposed_bound"]

RANGES, MOST_SEARCHES = 3, 9
"""of an edge, and of a component of several: fewer ranges each where that would be more"""
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
        piece = part.piece(fitting)
        choices = list(_choices_of_ranges(piece, overrun))
        highest_qps = 0.0
        for left_e, cost in choices:
            # A search takes `fill` of the edge's window; all of what is left is meant.
            narrowed = piece.changed(edge_compute_e=left_e / piece.window_e / options.fill)
            turn_s = (end_s - time.perf_counter()) / ((len(parts) - number) * len(choices))
            limits = SearchOptions(options.fill, gap, max(turn_s, LEAST_S), polish=False)
            found = search_component(narrowed, cost, limits)
            highest_qps = max(highest_qps, found.bound_qps)
            late |= found.late
        bound_qps += highest_qps
    bound_qps *= 1 + 1e-14 * max(len(parts), 1)
    method = "decomposition, every client and edge model set bounded (F11, linear by ranges)"
    loose = late or np.isfinite(problem.cloud_compute) or several_edges_c(problem).any()
    if loose:
        relaxed_qps, other = relaxed_bound(problem, options)
        if relaxed_qps < bound_qps:
            return relaxed_qps, other
    return bound_qps, method


def _choices_of_ranges(piece: Problem, overrun: float) -> Iterator[tuple[FloatArray, EdgeCost]]:
    """(seconds of a window that are left, row) of each edge, for every choice of its range of
    sqrt(v); every plan that keeps F11 keeps one of them."""
    edges = range(len(piece.edges))
    ranges = next(r for r in range(RANGES, 0, -1) if r ** len(edges) <= MOST_SEARCHES or r == 1)
    rows = headroom_rows(piece, overrun, ranges)
    window_e = piece.edge_compute_e * piece.window_e
    for chosen in product(rows, repeat=len(edges)):
        left_e = window_e - np.array([row.constant_e[e] for e, row in enumerate(chosen)])
        if (left_e < 0).any():
            continue  # no plan has so much variance
        marginal_em = np.array([row.cost.marginal_em[e] for e, row in enumerate(chosen)])
        fixed_em = np.array([row.cost.fixed_em[e] for e, row in enumerate(chosen)])
        yield left_e, EdgeCost(fixed_em, marginal_em)
