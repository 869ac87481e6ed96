"""How often an edge's window is overrun, counted in drawn windows instead of worked out (F11, F17).

Axis letters: e edge, a attachment, t task, m model.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaincinv

from planner.allocation import Allocation
from planner.batch_work import work_of_counts
from planner.problem import FloatArray, Problem

__all__ = ["late_share_e"]


def late_share_e(
    problem: Problem, allocation: Allocation, *, windows: int, seed: int = 0
) -> FloatArray:
    """Share of `windows` drawn windows whose work is longer than the window, by edge.

    A client's counts are negative binomial with its dispersion (Poisson where that is 1 or less),
    and every query draws its route. In a share sqrt(rho) of windows a client follows the burst that
    clients have in common, so that two of them follow it together in a share rho. Each model that
    gets a query is charged a set-up a batch, and a batch holds at most B_e queries.
    """
    rng = np.random.default_rng(seed)
    late_e = np.zeros(len(problem.edges))
    follow = np.sqrt(problem.burst_correlation)
    common_w = rng.random(windows) if follow > 0 else np.zeros(0)
    for e in range(len(problem.edges)):
        counts_wm = np.zeros((windows, len(problem.models)))
        for a in np.flatnonzero(problem.edge_of_a == e):
            c = problem.client_of_a[a]
            own_m = problem.window_e[e] * problem.load_ct[c] @ allocation.edge_atm[a]
            mean = problem.window_e[e] * problem.load_ct[c].sum()
            excess = problem.dispersion_c[c] - 1
            factor_w = np.ones(windows)
            if excess > 0 and mean > 0:
                shape = mean / excess
                factor_w = rng.gamma(shape, 1 / shape, windows)
                if follow > 0:
                    in_common_w = gammaincinv(shape, common_w) / shape
                    factor_w = np.where(rng.random(windows) < follow, in_common_w, factor_w)
            counts_wm += rng.poisson(factor_w[:, None] * own_m)
        size_wm = counts_wm.astype(np.int64)
        models = np.arange(len(problem.models))
        work_mk = work_of_counts(problem, e, models, np.arange(int(size_wm.max()) + 1))
        work_w = work_mk[models, size_wm].sum(axis=1)
        late_e[e] = (work_w > problem.edge_compute_e[e] * problem.window_e[e]).mean()
    return late_e
