"""Baselines that plan a restricted problem well: what one idea of the paper is worth without it.

Each solves its restriction by decomposition (to `GAP`), then is charged and bounded as all others
on the whole problem. Axis letters: c client, e edge, m model.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from planner.allocation import Allocation
from planner.attachments import by_edge
from planner.certificate import Status
from planner.fits import room
from planner.options import Options
from planner.policies.alternation import pack
from planner.policies.certified import certified
from planner.policies.outcome import conclude
from planner.problem import FloatArray, Problem
from planner.programs.bound import relax
from planner.programs.offloading import Tiers, keep_both_forms, route_form
from planner.solution import Solution

__all__ = ["greedy_accuracy", "greedy_density", "no_batching", "proteus_like", "single_task_only"]

GAP = 5e-3


def single_task_only(problem: Problem, options: Options) -> Solution:
    """The library without its multi-task models (the cloud keeps its own)."""
    begun_s = time.perf_counter()
    many_m = (problem.accuracy_mt > 0).sum(axis=1) > 1
    restricted = replace(
        problem,
        client_model_bytes_cm=np.where(many_m, np.inf, problem.client_model_bytes_cm),
        edge_model_bytes_em=np.where(many_m, np.inf, problem.edge_model_bytes_em),
    )
    found = certified(restricted, _inner(options))
    return _charged(problem, options, "single-task-only", found.allocation, found, begun_s)


def proteus_like(problem: Problem, options: Options) -> Solution:
    """One model a device, chosen and routed jointly, as accuracy scaling for GPU clusters does.

    It leaves out the memory knapsack: a device holds the one variant it serves, whatever room is
    left (Proteus, ASPLOS 2024, places one variant on a worker). Budgets of compute, window and
    links are kept.
    """
    begun_s = time.perf_counter()
    fits_cm = problem.client_model_bytes_cm <= room(problem.client_memory_c)[:, None]
    fits_em = problem.edge_model_bytes_em <= room(problem.edge_memory_e)[:, None]
    restricted = replace(
        problem,
        client_model_bytes_cm=np.where(fits_cm, 1.0, np.inf),
        edge_model_bytes_em=np.where(fits_em, 1.0, np.inf),
        client_memory_c=np.ones(len(problem.clients)),
        edge_memory_e=np.ones(len(problem.edges)),
    )
    found = certified(restricted, _inner(options))
    return _charged(problem, options, "proteus-like", found.allocation, found, begun_s)


def no_batching(problem: Problem, options: Options) -> Solution:
    """The optimum of J3O, which charges edges a setup per query (F6), charged the true F9.

    Where its plan breaks F9 (models with less than one query a window), least used models go.
    """
    begun_s = time.perf_counter()
    found = certified(problem, replace(_inner(options), edge_form="unbatched"))
    allocation = found.allocation
    if options.edge_form is None:
        allocation = keep_both_forms(problem, allocation, options)
    return _charged(problem, options, "no-batching", allocation, found, begun_s)


def greedy_accuracy(problem: Problem, options: Options) -> Solution:
    """Every node loads the models that serve its load most accurately, until memory is full."""
    return _greedy(problem, options, "greedy-accuracy", per_byte=False)


def greedy_density(problem: Problem, options: Options) -> Solution:
    """As `greedy_accuracy`, by accuracy per byte."""
    return _greedy(problem, options, "greedy-density", per_byte=True)


def _greedy(problem: Problem, options: Options, policy: str, *, per_byte: bool) -> Solution:
    begun_s = time.perf_counter()
    form = options.edge_form or "batched"
    load_et = by_edge(problem, problem.load_ct[problem.client_of_a])
    onloaded_cm = _fill(
        problem, problem.load_ct, problem.client_model_bytes_cm, problem.client_memory_c, per_byte
    )
    onloaded_em = _fill(
        problem, load_et, problem.edge_model_bytes_em, problem.edge_memory_e, per_byte
    )
    routing = route_form(problem, onloaded_cm, onloaded_em, form, options, Tiers())
    return _charged(problem, options, policy, routing.allocation, None, begun_s)


def _fill(
    problem: Problem, load_nt: FloatArray, bytes_nm: FloatArray, memory_n: FloatArray,
    per_byte: bool,
) -> np.ndarray:  # fmt: skip
    score_nm = load_nt @ problem.accuracy_mt.T
    if per_byte:
        score_nm = score_nm / np.maximum(bytes_nm, 1.0)
    scale_n = np.maximum(score_nm.max(axis=1, keepdims=True), 1e-300)
    return pack(score_nm / scale_n, bytes_nm, memory_n)


def _inner(options: Options) -> Options:
    return replace(options, gap=max(options.gap, GAP), warm_start=None)


def _charged(
    problem: Problem,
    options: Options,
    policy: str,
    allocation: Allocation,
    found: Solution | None,
    begun_s: float,
) -> Solution:
    form = options.edge_form or "batched"
    relaxation = relax(problem, form, options)
    rounds = 1 if found is None else found.certificate.iterations
    value_qps = 0.0 if found is None else found.objective * problem.total_load_qps
    late = found is not None and found.certificate.status is Status.TIME_LIMIT
    return conclude(
        problem, options, policy, form, allocation,
        upper_bound_qps=relaxation.bound_qps, bound_method=relaxation.method,
        solver="HiGHS" if found is None else found.certificate.solver,
        iterations=rounds,
        trace_qps=(value_qps,) if found is not None else (), begun_s=begun_s,
        late=late,
    )  # fmt: skip
