"""The tasks of every benchmark by name: encoding, score and picture of an answer (no torch)."""

from __future__ import annotations

import difflib

from cluster.errors import UnknownNameError
from models.tasks.domains import DOMAINS_CLASSES, DOMAINS_TASKS
from models.tasks.on_disk import ON_DISK_TASKS
from models.tasks.rooms import ROOMS_TASKS, SEGMENTATION_CLASSES
from models.tasks.streets import STREETS_CLASSES, STREETS_FIELD_OF_VIEW, STREETS_TASKS
from models.tasks.task import BOX_FIELDS, MOST_BOXES, Kind, Task

__all__ = [
    "BOX_FIELDS",
    "DOMAINS_CLASSES",
    "MOST_BOXES",
    "SEGMENTATION_CLASSES",
    "STREETS_CLASSES",
    "STREETS_FIELD_OF_VIEW",
    "TASKS",
    "Kind",
    "Task",
    "find_task",
    "tasks_of",
]

TASKS: dict[str, Task] = {
    task.name: task for task in (*ROOMS_TASKS, *DOMAINS_TASKS, *STREETS_TASKS, *ON_DISK_TASKS)
}


def find_task(name: str) -> Task:
    """The task called `name`. Raises `UnknownNameError` with the nearest names."""
    if name not in TASKS:
        near = difflib.get_close_matches(name, TASKS, n=3, cutoff=0.6)
        told = f"near names: {', '.join(near)}" if near else "docs/formats.md has them all"
        raise UnknownNameError(f"no task {name!r}; {told}")
    return TASKS[name]


def tasks_of(benchmark: str) -> tuple[str, ...]:
    """Names of a benchmark's tasks in their fixed order; () for one that has none here."""
    return tuple(task.name for task in TASKS.values() if task.benchmark == benchmark)
