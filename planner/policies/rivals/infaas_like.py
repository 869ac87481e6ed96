"""`infaas-like`: for every query the cheapest variant that meets its requirement.

After INFaaS (Romero et al., USENIX ATC 2021), by its paper's text: docs/rivals.md says what was
taken and what was left out. Axis letters: c client, e edge, n node, t task, m model.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from planner.attachments import by_edge
from planner.fits import room
from planner.options import Options
from planner.paths import edge_limit_at, local_open_cmt
from planner.policies.outcome import conclude_below_relaxation
from planner.policies.rivals.wants import needed_t, wanting
from planner.problem import FloatArray, Problem
from planner.programs.offloading import Tiers, route_form
from planner.solution import Solution

__all__ = ["infaas_like"]

BoolArray = NDArray[np.bool_]
COST = 0.5
"""What the dearest variant that meets a need loses of its value against a free one."""
BELOW_NEED = 0.25
"""Value of an accuracy of 1 that misses the need: less than any answer that meets it."""


def infaas_like(problem: Problem, options: Options) -> Solution:
    """Nodes load the cheapest variants that meet each task's need; queries go to the cheapest.

    A task's need is nine tenths of the best accuracy there is for it. Where no variant that fits
    meets it, the most accurate one that fits is loaded; its queries count for little.
    """
    begun_s = time.perf_counter()
    need_t = needed_t(problem)
    client_s_cm = problem.client_setup_cm + problem.client_marginal_cm
    edge_s_em = problem.edge_setup_em + problem.edge_marginal_em
    onloaded_cm = _cheapest(
        problem, problem.load_ct, client_s_cm, problem.client_model_bytes_cm,
        problem.client_memory_c, need_t, local_open_cmt(problem),
    )  # fmt: skip
    everywhere_emt = np.ones((len(problem.edges), *problem.accuracy_mt.shape), dtype=bool)
    onloaded_em = _cheapest(
        problem, by_edge(problem, edge_limit_at(problem)), edge_s_em,
        problem.edge_model_bytes_em, problem.edge_memory_e, need_t, everywhere_emt,
    )  # fmt: skip
    wanted = _cheap_answers(problem, need_t, np.vstack([client_s_cm, edge_s_em]).mean(axis=0))
    form = options.edge_form or "batched"
    found = route_form(wanted, onloaded_cm, onloaded_em, form, options, Tiers())
    return conclude_below_relaxation(
        problem, options, "infaas-like", found.allocation, begun_s=begun_s
    )


def _cheapest(
    problem: Problem,
    load_nt: FloatArray,
    cost_nm: FloatArray,
    bytes_nm: FloatArray,
    memory_n: FloatArray,
    need_t: FloatArray,
    open_nmt: BoolArray,
) -> BoolArray:
    """Models of each node, task by task in order of falling load: none where one that is held meets
    the need, otherwise the one with the least seconds a query that meets it and fits."""
    held_nm = np.zeros(bytes_nm.shape, dtype=bool)
    for n, load_t in enumerate(load_nt):
        left = float(room(memory_n[n]))
        for t in np.argsort(-load_t, kind="stable"):
            serves_m = (problem.accuracy_mt[:, t] > 0) & open_nmt[n, :, t]
            meets_m = serves_m & (problem.accuracy_mt[:, t] >= need_t[t])
            if load_t[t] <= 0 or (held_nm[n] & meets_m).any():
                continue
            fits_m = ~held_nm[n] & (bytes_nm[n] <= left)
            if (meets_m & fits_m).any():
                m = int(np.argmin(np.where(meets_m & fits_m, cost_nm[n], np.inf)))
            elif (serves_m & fits_m).any() and not (held_nm[n] & serves_m).any():
                m = int(np.argmax(np.where(serves_m & fits_m, problem.accuracy_mt[:, t], -1.0)))
            else:
                continue
            held_nm[n, m] = True
            left -= float(bytes_nm[n, m])
    return held_nm


def _cheap_answers(problem: Problem, need_t: FloatArray, cost_m: FloatArray) -> Problem:
    """`problem` where the cheapest answer that meets the need is worth most."""
    dearest = max(float(cost_m.max()), float(problem.cloud_cost_t.max()), 1e-300)

    def value(accuracy: FloatArray, cost: FloatArray) -> FloatArray:
        return np.where(accuracy >= need_t, 1 - COST * cost / dearest, BELOW_NEED * accuracy)

    return wanting(
        problem,
        value(problem.accuracy_mt, cost_m[:, None]),
        value(problem.cloud_accuracy_t, problem.cloud_cost_t),
    )
