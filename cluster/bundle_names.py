"""How several tasks that are asked of one image (F14) are named together: `depth+edges`."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["bundle_name", "tasks_of_bundle"]


def bundle_name(tasks: Iterable[str]) -> str:
    """The same for the same tasks, in whatever order they stand."""
    return "+".join(sorted(tasks))


def tasks_of_bundle(name: str) -> tuple[str, ...]:
    """The tasks of a name that `bundle_name` made, in the order of their names."""
    return tuple(name.split("+"))
