"""Failure signatures: instances and runs in which the method cannot do well, by name."""

from __future__ import annotations

import numpy as np

from planner.attachments import by_client
from planner.batch_work import first_batch_em
from planner.paths import link_a
from planner.problem import Problem
from planner.solution import Solution

__all__ = ["failure_signatures"]

LITTLE = 0.1
"""An uplink that carries less than this share of its client's load is called too small."""
SWING = 0.01
"""Relative fall between iterates that counts as a swing."""


def failure_signatures(problem: Problem, solution: Solution) -> tuple[str, ...]:
    """Lines that name what is wrong, worst first; empty when nothing is."""
    return (
        *_uplinks_too_small(problem),
        *_windows_too_short(problem, solution),
        *_thrashing(solution),
    )


def _uplinks_too_small(problem: Problem) -> list[str]:
    sent_c = (problem.load_ct * problem.query_bytes_t).sum(axis=1)
    link_c = np.minimum(problem.client_uplink_c, by_client(problem, link_a(problem)))
    carried_c = np.divide(link_c, sent_c, out=np.ones_like(sent_c), where=sent_c > 0)
    lines = [
        f"uplink too small: {problem.clients[c]} can send {carried_c[c]:.1%} of its load"
        for c in np.flatnonzero(carried_c < LITTLE)
    ]
    if len(lines) > 3:
        count, worst = len(lines), float(carried_c.min())
        lines = [f"uplink too small: {count} clients can send under {LITTLE:.0%} of their load "
                 f"(least {worst:.1%})"]  # fmt: skip
    return lines


def _windows_too_short(problem: Problem, solution: Solution) -> list[str]:
    useful_m = (problem.accuracy_mt > 0).any(axis=1)
    fits_em = useful_m & (problem.edge_model_bytes_em <= problem.edge_memory_e[:, None])
    setup_e = np.where(fits_em, first_batch_em(problem), np.inf).min(axis=1)
    room = 1.0 if solution.overrun is not None else solution.fill
    budget_e = room * problem.edge_compute_e * problem.window_e
    return [
        f"window too short: {problem.edges[e]} has {budget_e[e]:.4g} s of work a window, the "
        f"smallest setup cost is {setup_e[e]:.4g} s"
        for e in np.flatnonzero(np.isfinite(setup_e) & (setup_e > budget_e))
    ]


def _thrashing(solution: Solution) -> list[str]:
    """An alternation whose iterates keep falling back and coming up again."""
    lines = []
    for start, values in solution.iterates.items():
        steps = np.diff(np.array(values))
        falls = steps < -SWING * max(max(values, default=0.0), 1e-12)
        if falls.sum() >= 2 and (steps > 0).sum() >= 2:
            low, high = min(values[1:]), max(values)
            lines.append(
                f"thrashing: from {start!r} the objective swings between {low:.4f} and "
                f"{high:.4f}; the best iterate was kept"
            )
    return lines
