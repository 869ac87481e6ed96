"""The bound under F11 from a search of every edge, with whole models instead of shares of them.

`headroom_rows` makes F11 linear by ranges; each edge is searched once a range
(`planner.decomposition`), and its bound is the largest of the ranges'.
"""

from __future__ import annotations

import time

import numpy as np

from planner.attachments import components, several_edges_c
from planner.bursts.headroom import relaxed_bound, with_models_that_fit
from planner.bursts.headroom_row import headroom_rows
from planner.decomposition.edge_search import EdgeOptions, search_edge
from planner.options import Options
from planner.problem import Problem

__all__ = ["decomposed_bound"]

RANGES = 3
LEAST_GAP = 5e-4
"""to which the linear problem of a range is searched; how linear it is matters more"""
TIME_PART = 0.1
"""of the time limit: the plan may have used all of it"""
LEAST_S = 0.05


def decomposed_bound(problem: Problem, options: Options) -> tuple[float, str]:
    """An upper bound on the optimum under F11, right answers/s, and how it was found.

    Where clients reach several edges (F12), or another objective than the mean is planned for
    (F19), it is that of the linear relaxation; where F8 binds, or the time did not suffice for the
    searches, the lower of both.
    """
    if several_edges_c(problem).any() or options.objective != "mean":
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
        window_e = piece.edge_compute_e * piece.window_e
        highest_qps = 0.0
        for row in headroom_rows(piece, overrun, RANGES):
            left_e = window_e - row.constant_e
            if left_e[0] <= 0:
                continue  # no plan has so much variance
            # A search takes `fill` of the edge's window; all of what is left is meant.
            narrowed = piece.changed(edge_compute_e=left_e / piece.window_e / options.fill)
            turn_s = (end_s - time.perf_counter()) / ((len(parts) - number) * RANGES)
            limits = EdgeOptions(options.fill, gap, max(turn_s, LEAST_S), polish=False)
            found = search_edge(narrowed, row.cost, limits)
            highest_qps = max(highest_qps, found.bound_qps)
            late |= found.late
        bound_qps += highest_qps
    bound_qps *= 1 + 1e-14 * max(len(parts), 1)
    method = "decomposition, every client and edge model set bounded (F11, linear by ranges)"
    if late or np.isfinite(problem.cloud_compute):
        relaxed_qps, other = relaxed_bound(problem, options)
        if relaxed_qps < bound_qps:
            return relaxed_qps, other
    return bound_qps, method
