"""Deadline classes in a problem (F20): each is a task of its own, with a deadline of its own.

Then F13 closes the ways of each class by itself, and nothing else is new to a policy: accuracies,
bytes and the cloud's model are the task's, and since batches are by model (F9, F11), classes of a
task share those. Axis letters: c client, t task, m model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.deadline_classes import base_task, has_class, with_classes
from planner.problem import FloatArray, Problem, ProblemError

__all__ = ["fields_of_tasks", "split_by_class", "tasks_served_m"]


def split_by_class(
    problem: Problem,
    load_of: Mapping[str, FloatArray],
    deadline_s: Mapping[str, float] | None = None,
) -> Problem:
    """`problem` with every class that `load_of` names as a task behind its own.

    `load_of` is by name, queries/s (c): of each class, TASK@CLASS, and by the task's name of what
    is in none of them. `deadline_s` are deadlines by name; a class without one has its task's.
    Raises `ProblemError` for a class of a task that `problem` or `load_of` lacks.
    """
    classes = [name for name in load_of if has_class(name)]
    for name in classes:
        task = base_task(name)
        if task not in problem.tasks:
            raise ProblemError(f"load_of.{name}: the problem has no task {task!r}")
        if task not in load_of:
            raise ProblemError(f"load_of.{name}: state what of {task!r} is in no class, too")
    tasks = with_classes(problem.tasks, classes)
    source_t = np.array([problem.tasks.index(base_task(name)) for name in tasks], dtype=np.int64)
    fields = fields_of_tasks(problem, source_t)
    for t, name in enumerate(tasks):
        if has_class(name):
            fields["bundle_bt"][:, t] = 0.0  # what is asked of one image together has no class
        if name in load_of:
            fields["load_ct"][:, t] = load_of[name]
        if deadline_s is not None and name in deadline_s:
            fields["deadline_t"][t] = deadline_s[name]
    return problem.changed(tasks=tasks, **fields)


def fields_of_tasks(problem: Problem, source_t: NDArray[np.int64]) -> dict[str, Any]:
    """Copies of the fields of `problem` that are by task, for tasks each of which is like the one
    at its place in `source_t`."""
    fields: dict[str, Any] = {}
    for field in problem.array_fields():
        axis = field.rsplit("_", 1)[1].find("t")
        if axis >= 0:
            fields[field] = np.take(getattr(problem, field), source_t, axis=axis)
    return fields


def tasks_served_m(problem: Problem) -> NDArray[np.int64]:
    """How many tasks each model serves (m); the classes of one count once."""
    serves_mt = problem.accuracy_mt > 0
    tasks = [base_task(name) for name in problem.tasks]
    by_task = [
        serves_mt[:, [name == task for name in tasks]].any(axis=1) for task in dict.fromkeys(tasks)
    ]
    return np.asarray(np.sum(by_task, axis=0, dtype=np.int64))
