"""Cells and lines of the zoo's tables."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["NONE", "line", "short"]

NONE = "–"


def line(cells: Sequence[str]) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


def short(task: str) -> str:
    """A task's name without its benchmark's."""
    return task.split("-", 1)[-1]
