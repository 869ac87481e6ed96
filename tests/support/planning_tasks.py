"""What a planning process is given in tests; it imports them by name."""

from __future__ import annotations

import os
import time

__all__ = [
    "compute_at", "compute_for", "die_at", "do_nothing", "double", "fail_at", "hang_at",
    "start_never",
]  # fmt: skip


def double(number: int) -> int:
    return 2 * number


def hang_at(number: int) -> int:
    """As `double`, but 13 takes for ever: a solver that ignores its time limit."""
    while number == 13:
        time.sleep(60.0)
    return 2 * number


def compute_at(number: int) -> int:
    """As `double`, but 13 is computed for ever."""
    while number == 13:
        pass
    return 2 * number


def compute_for(seconds: float) -> float:
    """Takes that long, and returns it."""
    time.sleep(seconds)
    return seconds


def die_at(number: int) -> int:
    """As `double`, but 13 ends the process, as a crash in a solver's own code does."""
    if number == 13:
        os._exit(9)
    return 2 * number


def fail_at(number: int) -> int:
    """As `double`, but 13 is refused."""
    if number == 13:
        raise ValueError("13 is no number to plan for")
    return 2 * number


def do_nothing() -> None:
    """Nothing to warm."""


def start_never() -> None:
    """A process that dies before it is ready."""
    os._exit(3)
