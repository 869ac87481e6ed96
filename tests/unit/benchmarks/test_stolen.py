"""What the host takes is seen, and what it disturbed is measured again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from stolen import TRIES, StealMeter, undisturbed

FIRST = "cpu  100 0 50 800 10 0 20 {stolen} 7 7\ncpu0 1 1 1 1 1 1 1 1 0 0\n"


class Meter:
    """Tells the shares one after another."""

    shares: list[float]

    def __init__(self) -> None:
        self.share = self.shares.pop(0)


def measure(shares: list[float]) -> tuple[tuple[int, float], list[float]]:
    """What came of it, and the pauses."""
    pauses: list[float] = []
    calls = iter(range(100))

    async def count() -> int:
        return next(calls)

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    Meter.shares = shares
    return asyncio.run(undisturbed(count, Meter, pause)), pauses


def test_the_share_is_of_all_time_that_passed(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text(FIRST.format(stolen=20))
    meter = StealMeter(stat)
    assert meter.share == 0.0
    stat.write_text(FIRST.format(stolen=30).replace("800", "890"))
    assert meter.share == pytest.approx(0.1)


def test_a_system_that_does_not_say_takes_nothing(tmp_path: Path) -> None:
    assert StealMeter(tmp_path / "nothing").share == 0.0


@pytest.mark.parametrize(
    ("shares", "kept"),
    [([0.01], 0), ([0.2, 0.0, 0.0], 1), ([0.2, 0.1, 0.3, 0.05, 0.4, 0.0], 3)],
)
def test_the_first_calm_one_is_kept_or_the_calmest(shares: list[float], kept: int) -> None:
    share = shares[kept]
    (found, seen), pauses = measure(list(shares))
    assert (found, seen) == (kept, share)
    assert len(pauses) == (kept if share < 0.03 else TRIES - 1)
