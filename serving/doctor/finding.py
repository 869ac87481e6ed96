"""What was found of one thing that the testbed needs, and how to mend it."""

from __future__ import annotations

from enum import StrEnum

from cluster.document import FrozenModel

__all__ = ["Finding", "Fitness"]


class Fitness(StrEnum):
    """How something is."""

    GOOD = "good"
    POOR = "poor"
    """all works, but less well or not for long"""
    BROKEN = "broken"
    """some command cannot work"""


class Finding(FrozenModel):
    """`mend` says what to do; empty where nothing is to be done."""

    about: str
    health: Fitness
    words: str
    mend: str = ""
