"""What a published planner wants, said as a problem with other accuracies.

The budgets stay as they are, so a plan for such a problem is one for the problem itself; only what
is preferred changes. Axis letters: t task, m model.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.fits import room
from planner.problem import FloatArray, Problem

__all__ = ["answers_first", "needed_t", "one_variant_each", "placeable_m", "wanting"]

NEED = 0.9
"""A planner with an accuracy target asks for this share of the best accuracy there is."""
OF_ACCURACY = 0.2
"""What accuracy counts for where answering comes first; to be answered counts the rest."""


def wanting(problem: Problem, value_mt: FloatArray, cloud_value_t: FloatArray) -> Problem:
    """`problem` where an answer is worth these values in [0, 1]; 0 where it had no accuracy."""
    return problem.changed(
        accuracy_mt=np.where(problem.accuracy_mt > 0, value_mt, 0.0),
        cloud_accuracy_t=np.where(problem.cloud_accuracy_t > 0, cloud_value_t, 0.0),
    )


def answers_first(problem: Problem) -> Problem:
    """`problem` where an answer is worth .8 + .2 times its accuracy.

    Example: one answer at .95 is worth .99, two at .5 are worth 1.8. By F1 it is .95 against 1.
    """
    return wanting(
        problem,
        1 - OF_ACCURACY + OF_ACCURACY * problem.accuracy_mt,
        1 - OF_ACCURACY + OF_ACCURACY * problem.cloud_accuracy_t,
    )


def placeable_m(problem: Problem) -> NDArray[np.bool_]:
    """Models that alone fit the memory of any client or edge."""
    at_clients_m = (problem.client_model_bytes_cm <= room(problem.client_memory_c)[:, None]).any(0)
    at_edges_m = (problem.edge_model_bytes_em <= room(problem.edge_memory_e)[:, None]).any(0)
    return np.asarray(at_clients_m | at_edges_m)


def needed_t(problem: Problem) -> FloatArray:
    """The accuracy target of each task: `NEED` times the best that any node or the cloud has."""
    placed_mt = np.where(placeable_m(problem)[:, None], problem.accuracy_mt, 0.0)
    return np.asarray(NEED * np.maximum(placed_mt.max(axis=0), problem.cloud_accuracy_t))


def one_variant_each(problem: Problem, variant_t: NDArray[np.int64]) -> NDArray[np.bool_]:
    """m x t: whether m is the task's variant; -1 leaves a task to the cloud."""
    return np.asarray(np.arange(len(problem.models))[:, None] == variant_t)
