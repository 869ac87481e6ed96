"""What the host of a virtual machine takes from it while something is measured.

On a shared host other guests' bursts take up to half of a core for tens of seconds, and a load over
two processes suffers far more than a plain loop does: ratios of the two then say nothing. What was
disturbed so is measured again, whichever system it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from operator import itemgetter
from pathlib import Path
from typing import Protocol, TypeVar

__all__ = ["TOLERATED", "Meter", "StealMeter", "undisturbed"]

TOLERATED = 0.03
"""share of the cores' time that may be taken"""
TRIES = 5
PAUSE_S = 2.0
"""before another try"""
STEAL = 7
"""its place among the times of a `cpu` line of /proc/stat"""
T = TypeVar("T")


class Meter(Protocol):
    """Knows the share of the cores' time that was taken since it was made."""

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        ...


class StealMeter:
    """Share of all cores' time that the host has taken since the meter was made."""

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        self._stat = stat
        self._from = self._read()

    @property
    def share(self) -> float:
        """0 where the system does not say."""
        stolen, passed = (now - then for now, then in zip(self._read(), self._from, strict=True))
        return stolen / passed if passed else 0.0

    def _read(self) -> tuple[int, int]:
        """Ticks taken, and ticks of every kind; guests' are among users' and not counted twice."""
        try:
            line = self._stat.read_text().splitlines()[0]
        except OSError:
            return 0, 0
        ticks = [int(word) for word in line.split()[1 : STEAL + 2]]
        return ticks[STEAL], sum(ticks)


async def undisturbed(
    measure: Callable[[], Awaitable[T]],
    meter: Callable[[], Meter] = StealMeter,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> tuple[T, float]:
    """What `measure` finds while the host takes no more than is tolerated, and the share it took;
    after some tries, what it found while least was taken."""
    found: list[tuple[T, float]] = []
    while not found or (found[-1][1] > TOLERATED and len(found) < TRIES):
        if found:
            await sleep(PAUSE_S)
        watching = meter()
        value = await measure()
        found.append((value, watching.share))
    return min(found, key=itemgetter(1))
