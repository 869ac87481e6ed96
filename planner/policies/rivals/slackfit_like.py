"""`slackfit-like`: the slack that a query has chooses the variant, from buckets of latency.

After SlackFit (SuperServe, Khare et al., NSDI 2025), by its paper's text: docs/rivals.md says what
was taken and what was left out. Axis letters: c client, e edge, n node, t task, m model.
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
from planner.problem import FloatArray, Problem
from planner.programs.offloading import Tiers, route_form
from planner.solution import Solution

__all__ = ["slackfit_like"]

BoolArray = NDArray[np.bool_]
BUCKETS = 8
"""Equal parts of the way from a task's fastest variant to its slowest."""


def slackfit_like(problem: Problem, options: Options) -> Solution:
    """Each node holds, for each task, the variant that its slack allows, and the fastest one too.

    At a client a query may take what time there is until the next one; at an edge, a batch of the
    task's queries has the task's part of the window. The fastest variants come last, where memory
    is left, for the queries that find less slack than the mean one.
    """
    begun_s = time.perf_counter()
    load_ct = problem.load_ct
    gap_c = _ratio(options.fill * problem.client_compute_c, load_ct.sum(axis=1))
    client_s_cm = problem.client_setup_cm + problem.client_marginal_cm
    order_cm = _by_slack(
        problem, load_ct, np.repeat(client_s_cm[:, None], load_ct.shape[1], axis=1),
        np.minimum(gap_c[:, None], problem.deadline_t),
        problem.client_model_bytes_cm, problem.client_memory_c, local_open_cmt(problem),
    )  # fmt: skip
    load_et = by_edge(problem, edge_limit_at(problem))
    window_e = options.fill * problem.edge_compute_e * problem.window_e
    part_et = np.nan_to_num(load_et / load_et.sum(axis=1, keepdims=True).clip(1e-300))
    queries_et = problem.window_e[:, None] * load_et
    batch_etm = (
        problem.edge_setup_em[:, None]
        + problem.edge_marginal_em[:, None] * np.maximum(queries_et, 1.0)[:, :, None]
    )
    everywhere_emt = np.ones((len(problem.edges), *problem.accuracy_mt.shape), dtype=bool)
    order_em = _by_slack(
        problem, load_et, batch_etm, window_e[:, None] * part_et,
        problem.edge_model_bytes_em, problem.edge_memory_e, everywhere_emt,
    )  # fmt: skip
    form = options.edge_form or "batched"
    found = route_form(problem, order_cm > 0, order_em > 0, form, options, Tiers(), order_em)
    return conclude_below_relaxation(
        problem, options, "slackfit-like", found.allocation, begun_s=begun_s
    )


def _by_slack(
    problem: Problem,
    load_nt: FloatArray,
    latency_ntm: FloatArray,
    slack_nt: FloatArray,
    bytes_nm: FloatArray,
    memory_n: FloatArray,
    open_nmt: BoolArray,
) -> FloatArray:
    """Models of each node: for its tasks in order of falling load the variant of the slack, then
    for the same tasks the fastest one. The first has the highest number, 0 is not held."""
    order_nm = np.zeros(bytes_nm.shape)
    left_n = room(memory_n)
    for fastest in (False, True):
        for n, load_t in enumerate(load_nt):
            for t in np.argsort(-load_t, kind="stable"):
                fits_m = (order_nm[n] > 0) | (bytes_nm[n] <= left_n[n])
                usable_m = (problem.accuracy_mt[:, t] > 0) & open_nmt[n, :, t] & fits_m
                if load_t[t] <= 0 or not usable_m.any():
                    continue
                slack_s = 0.0 if fastest else float(slack_nt[n, t])
                m = _fitting(latency_ntm[n, t], slack_s, problem.accuracy_mt[:, t], usable_m)
                if order_nm[n, m] == 0:
                    order_nm[n, m] = len(problem.models) - np.count_nonzero(order_nm[n])
                    left_n[n] -= bytes_nm[n, m]
    return order_nm


def _fitting(
    latency_m: FloatArray, slack_s: float, accuracy_m: FloatArray, usable_m: BoolArray
) -> int:
    """The most accurate variant of the slowest bucket that the slack allows; the fastest variant
    where it allows none."""
    fastest_s, slowest_s = float(latency_m[usable_m].min()), float(latency_m[usable_m].max())
    in_time_m = usable_m & (latency_m <= slack_s)
    if not in_time_m.any():
        return int(np.argmin(np.where(usable_m, latency_m, np.inf)))
    width_s = max((slowest_s - fastest_s) / BUCKETS, 1e-300)
    bucket_m = np.minimum((latency_m - fastest_s) // width_s, BUCKETS - 1)
    top = bucket_m[in_time_m].max()
    return int(np.argmax(np.where(in_time_m & (bucket_m == top), accuracy_m, -1.0)))


def _ratio(seconds_n: FloatArray, load_n: FloatArray) -> FloatArray:
    """Seconds a query; inf where there is none."""
    return np.divide(seconds_n, load_n, out=np.full_like(seconds_n, np.inf), where=load_n > 0)
