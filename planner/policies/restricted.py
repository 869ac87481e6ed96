"""Baselines that plan a restricted problem well: what one idea of the paper is worth without it.

Each solves its restriction by decomposition, then is charged and bounded as all others
on the whole problem. Axis letters: c client, e edge, m model.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from planner.attachments import by_edge
from planner.deadline_classes import tasks_served_m
from planner.options import Options
from planner.policies.alternation import pack
from planner.policies.certified import roughly_certified
from planner.policies.outcome import conclude_below_relaxation
from planner.problem import FloatArray, Problem
from planner.programs.offloading import Tiers, keep_both_forms, route_form
from planner.solution import Solution

__all__ = ["greedy_accuracy", "greedy_density", "no_batching", "single_task_only"]


def single_task_only(problem: Problem, options: Options) -> Solution:
    """The library without its multi-task models (the cloud keeps its own)."""
    begun_s = time.perf_counter()
    many_m = tasks_served_m(problem) > 1
    restricted = problem.changed(
        client_model_bytes_cm=np.where(many_m, np.inf, problem.client_model_bytes_cm),
        edge_model_bytes_em=np.where(many_m, np.inf, problem.edge_model_bytes_em),
    )
    found = roughly_certified(restricted, options)
    return conclude_below_relaxation(
        problem, options, "single-task-only", found.allocation, [found], begun_s=begun_s
    )


def no_batching(problem: Problem, options: Options) -> Solution:
    """The optimum of J3O, which charges edges a setup per query (F6), charged the true F9.

    Where its plan breaks F9 (models with less than one query a window), least used models go.
    """
    begun_s = time.perf_counter()
    found = roughly_certified(problem, replace(options, edge_form="unbatched"))
    allocation = found.allocation
    if options.edge_form is None:
        allocation = keep_both_forms(problem, allocation, options)
    return conclude_below_relaxation(
        problem, options, "no-batching", allocation, [found], begun_s=begun_s
    )


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
    return conclude_below_relaxation(problem, options, policy, routing.allocation, begun_s=begun_s)


def _fill(
    problem: Problem, load_nt: FloatArray, bytes_nm: FloatArray, memory_n: FloatArray,
    per_byte: bool,
) -> np.ndarray:  # fmt: skip
    score_nm = load_nt @ problem.accuracy_mt.T
    if per_byte:
        score_nm = score_nm / np.maximum(bytes_nm, 1.0)
    scale_n = np.maximum(score_nm.max(axis=1, keepdims=True), 1e-300)
    return pack(score_nm / scale_n, bytes_nm, memory_n)
