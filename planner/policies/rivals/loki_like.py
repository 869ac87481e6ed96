"""`loki-like`: the most accurate variants as long as they carry the demand, then lighter ones.

After Loki (Ahmad et al., HPDC 2024), by its paper's text: docs/rivals.md says what was taken and
what was left out. Axis letters: t task, m model.
"""

from __future__ import annotations

import time

import numpy as np

from planner.options import Options
from planner.policies.certified import roughly_certified
from planner.policies.outcome import conclude_below_relaxation
from planner.policies.rivals.wants import answers_first, one_variant_each, placeable_m, wanting
from planner.problem import Problem
from planner.solution import Solution

__all__ = ["loki_like"]

CARRIED = 0.99
"""Share of the demand from which the most accurate variants carry it; the search stops at .5 %."""


def loki_like(problem: Problem, options: Options) -> Solution:
    """Two steps: hardware scaling, and accuracy scaling where the hardware is full.

    First only the most accurate variant of each task may be placed, on as many nodes as it takes.
    Where that sheds queries, every variant may be, and a plan answers as many queries as it can
    before it answers them well.
    """
    begun_s = time.perf_counter()
    searches = [roughly_certified(_most_accurate_only(problem), options)]
    if searches[0].evaluation.shed_share > 1 - CARRIED:
        searches.append(roughly_certified(answers_first(problem), options))
    return conclude_below_relaxation(
        problem, options, "loki-like", searches[-1].allocation, searches, begun_s=begun_s
    )


def _most_accurate_only(problem: Problem) -> Problem:
    """With one variant of each task: the most accurate one that fits any node. The cloud stays."""
    placed_mt = np.where(placeable_m(problem)[:, None], problem.accuracy_mt, 0.0)
    best_t = np.where(placed_mt.max(axis=0) > 0, placed_mt.argmax(axis=0), -1)
    kept_mt = one_variant_each(problem, best_t)
    return wanting(problem, problem.accuracy_mt * kept_mt, problem.cloud_accuracy_t)
