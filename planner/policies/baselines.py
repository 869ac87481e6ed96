"""Baselines: what one tier can do alone, and what chance does. All are routed by the same program.

Axis letters: c client, e edge, m model.
"""

from __future__ import annotations

import time

import numpy as np

from planner.fits import room
from planner.options import Options
from planner.policies.alternation import alternate, starting_points
from planner.policies.outcome import conclude, conclude_below_relaxation
from planner.problem import FloatArray, Problem
from planner.programs.bound import relax
from planner.programs.offloading import Tiers, route_form
from planner.solution import Solution

__all__ = ["CLOUD", "EDGE", "LOCAL", "all_cloud", "all_edge", "all_local", "random_models"]


LOCAL = Tiers(edge=False, cloud=False)
EDGE = Tiers(client=False, cloud=False)
CLOUD = Tiers(client=False, edge=False)


def all_local(problem: Problem, options: Options) -> Solution:
    """Clients only: the best models under their memory, the best routing among them."""
    return _one_tier(problem, options, "all-local", LOCAL)


def all_edge(problem: Problem, options: Options) -> Solution:
    """Edges only, within uplinks and windows."""
    return _one_tier(problem, options, "all-edge", EDGE)


def all_cloud(problem: Problem, options: Options) -> Solution:
    """The cloud only, within uplinks and cloud compute."""
    return _one_tier(problem, options, "all-cloud", CLOUD)


def _one_tier(problem: Problem, options: Options, policy: str, tiers: Tiers) -> Solution:
    begun_s = time.perf_counter()
    form = options.edge_form or "batched"
    relaxation = relax(problem, form, options)
    starts = starting_points(problem, form, tiers, None, None)
    surrogate = tiers.edge and form == "batched"
    result = alternate(problem, options, form, tiers, starts, surrogate=surrogate)
    return conclude(
        problem, options, policy, form, result.allocation,
        upper_bound_qps=relaxation.bound_qps, bound_method=relaxation.method,
        solver="HiGHS", iterations=result.iterations,
        trace_qps=result.trace, begun_s=begun_s,
        iterates_qps=result.values_by_start,
    )  # fmt: skip


def random_models(problem: Problem, options: Options) -> Solution:
    """Models drawn at random until memory is full at every node; the best routing among them."""
    begun_s = time.perf_counter()
    form = options.edge_form or "batched"
    rng = np.random.default_rng(options.seed)
    useful_m = (problem.accuracy_mt > 0).any(axis=1)
    onloaded_cm = _random_fill(
        rng, np.where(useful_m, problem.client_model_bytes_cm, np.inf), problem.client_memory_c
    )
    onloaded_em = _random_fill(
        rng, np.where(useful_m, problem.edge_model_bytes_em, np.inf), problem.edge_memory_e
    )
    found = route_form(problem, onloaded_cm, onloaded_em, form, options, Tiers())
    return conclude_below_relaxation(problem, options, "random", found.allocation, begun_s=begun_s)


def _random_fill(
    rng: np.random.Generator, bytes_nm: FloatArray, memory_n: FloatArray
) -> np.ndarray:
    chosen_nm = np.zeros(bytes_nm.shape, dtype=bool)
    for n in range(len(memory_n)):
        left = room(float(memory_n[n]))
        for m in rng.permutation(bytes_nm.shape[1]):
            if np.isfinite(bytes_nm[n, m]) and bytes_nm[n, m] <= left:
                chosen_nm[n, m] = True
                left -= float(bytes_nm[n, m])
    return chosen_nm
