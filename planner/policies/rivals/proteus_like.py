"""`proteus-like`: one variant a device, all demand answered first, then as accurately as possible.

After Proteus (Ahmad et al., ASPLOS 2024), by its paper's text: docs/rivals.md says what was taken
and what was left out. Axis letters: c client, e edge, m model.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from planner.fits import room
from planner.options import Options
from planner.policies.certified import roughly_certified
from planner.policies.outcome import conclude_below_relaxation
from planner.policies.rivals.wants import answers_first
from planner.problem import Problem
from planner.solution import Solution

__all__ = ["proteus_like"]


def proteus_like(problem: Problem, options: Options) -> Solution:
    """Selection, placement and routing in one program, where a device holds one variant.

    It leaves out the memory knapsack: whatever room is left, a device holds the one variant that it
    serves. Budgets of compute, window and links are kept.
    """
    begun_s = time.perf_counter()
    fits_cm = problem.client_model_bytes_cm <= room(problem.client_memory_c)[:, None]
    fits_em = problem.edge_model_bytes_em <= room(problem.edge_memory_e)[:, None]
    one_each = replace(
        answers_first(problem),
        client_model_bytes_cm=np.where(fits_cm, 1.0, np.inf),
        edge_model_bytes_em=np.where(fits_em, 1.0, np.inf),
        client_memory_c=np.ones(len(problem.clients)),
        edge_memory_e=np.ones(len(problem.edges)),
    )
    found = roughly_certified(one_each, options)
    return conclude_below_relaxation(
        problem, options, "proteus-like", found.allocation, [found], begun_s=begun_s
    )
