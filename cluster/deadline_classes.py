"""Deadline classes (F20): a task's queries in several parts, each with a deadline of its own.

A class is a task of its own to plans, routes and counters, called `TASK@CLASS`: `depth@fast` is
the class `fast` of `depth`. What of the task is in no class keeps the task's name. Models, labels
and scores know the task alone, `base_task` of the name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field

from cluster.document import FrozenModel

__all__ = [
    "Classes", "DeadlineClass", "Deadlines", "base_task", "check_classes", "check_names",
    "class_labels", "deadlines_of", "has_class", "split_rates", "with_classes",
]  # fmt: skip

SEPARATOR = "@"
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
ROUNDING = 1e-9
"""by which shares that make up the whole may miss it"""

Deadlines = dict[str, Annotated[float, Field(gt=0)]]
"""task or class -> seconds after a query's arrival at its client; none where left out"""


class DeadlineClass(FrozenModel):
    """A part of a task's queries."""

    share: float = Field(gt=0, le=1, description="of the task's queries, at every client")
    deadline_s: float = Field(gt=0, description="after which an answer is worth nothing")


Classes = dict[str, dict[str, DeadlineClass]]
"""task -> class -> what it is"""


def has_class(name: str) -> bool:
    """Whether `name` is that of a class, and not of a task."""
    return SEPARATOR in name


def base_task(name: str) -> str:
    """The task of a class; a task's own name as it is."""
    return name.partition(SEPARATOR)[0]


def class_labels(task: str, names: Iterable[str]) -> tuple[str, ...]:
    """The classes of `task` among `names`, without the task's name."""
    parts = (name.partition(SEPARATOR) for name in names)
    return tuple(label for of, found, label in parts if found and of == task)


def with_classes(tasks: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """`tasks`, each followed by the classes of it that are among `names`."""
    known = tuple(names)
    return tuple(
        name
        for task in tasks
        for name in (task, *(_named(task, label) for label in class_labels(task, known)))
    )


def deadlines_of(classes: Mapping[str, Mapping[str, DeadlineClass]]) -> dict[str, float]:
    """The deadline of every class, by its whole name."""
    return {
        _named(task, label): part.deadline_s
        for task, parts in classes.items()
        for label, part in parts.items()
    }


def check_names(names: Iterable[str], where: str) -> None:
    """Raise `ValueError` for a name that is neither a task's nor TASK@CLASS."""
    for name in names:
        task, found, label = name.partition(SEPARATOR)
        if not task or (found and not LABEL.fullmatch(label)):
            raise ValueError(
                f"{where}.{name}: expected TASK or TASK@CLASS, where a class has at most 32 "
                "letters, digits and _ . -"
            )


def check_classes(classes: Mapping[str, Mapping[str, DeadlineClass]], tasks: Iterable[str]) -> None:
    """Raise `ValueError` for classes of a task that is not among `tasks`, or that are more than all
    of its queries."""
    asked = tuple(dict.fromkeys(tasks))
    for task, parts in classes.items():
        if task not in asked:
            raise ValueError(
                f"classes.{task}: nobody asks this task; `rates_qps` has {', '.join(asked)}"
            )
        total = sum(part.share for part in parts.values())
        if total > 1.0 + ROUNDING:
            raise ValueError(
                f"classes.{task}: the shares of its classes sum to {total:g}, and may be 1 at most"
            )


def split_rates(
    rates_qps: Mapping[str, Mapping[str, float]],
    classes: Mapping[str, Mapping[str, DeadlineClass]],
) -> dict[str, dict[str, float]]:
    """Rates by client and task with every class as a task of its own: its share, and for the task
    what is left. Raises `ValueError` where the rate of a class is stated already."""
    found: dict[str, dict[str, float]] = {}
    for client, rates in rates_qps.items():
        own = found[client] = dict(rates)
        for task, parts in classes.items():
            if task not in rates:
                continue
            left = 1.0 - sum(part.share for part in parts.values())
            own[task] = rates[task] * left if left > ROUNDING else 0.0
            for label, part in parts.items():
                name = _named(task, label)
                if name in rates:
                    raise ValueError(
                        f"{client}.{name}: stated here, and in `classes` as a share of {task}; "
                        "leave one of them out"
                    )
                own[name] = rates[task] * part.share
    return found


def _named(task: str, label: str) -> str:
    return f"{task}{SEPARATOR}{label}"
