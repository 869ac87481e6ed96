"""Dispersion of counts: variance / mean, 1 for Poisson arrivals, more for bursts (F17).

It depends on the time over which one counts. A load that rises and falls over many seconds looks
calm from one look to the next, yet its mean over a minute is known no better for that. So it is
measured for single looks and for blocks of 2, 4, 8 and 16 of them.
"""

from __future__ import annotations

from pydantic import Field

from cluster.document import FrozenModel

__all__ = ["BlockScatter", "Dispersion"]

BLOCKS = (1, 2, 4, 8, 16)
"""looks that are counted together"""
PRIOR_BLOCKS = 2.0
"""blocks of Poisson arrivals that are taken as seen before the first look"""
STATED_LOOKS = 60.0
"""that it takes to believe as much in what is seen as in what was stated"""
FEWEST_BLOCKS = 4.0
"""of a size, before its dispersion counts"""


class BlockScatter(FrozenModel):
    """Mean of (count - expected)^2 / expected over blocks of so many looks."""

    mean: float = 1.0
    weight: float = PRIOR_BLOCKS
    looks: int = 0
    """of the block that is not full yet"""
    excess: float = 0.0
    """count - expected in that block"""
    expected: float = 0.0

    def after(self, count: float, expected: float, size: int, memory: float) -> BlockScatter:
        """With one more look; `memory` is the weight that is kept of what was before a block."""
        excess, total = self.excess + count - expected, self.expected + expected
        if self.looks + 1 < size:
            filling = {"looks": self.looks + 1, "excess": excess, "expected": total}
            return self.model_copy(update=filling)
        weight = self.weight * memory + 1.0
        square = excess**2 / max(total, 1e-9)
        return BlockScatter(mean=self.mean + (square - self.mean) / weight, weight=weight)


class Dispersion(FrozenModel):
    """Variance / mean of counts, for every size of block. Never below 1."""

    blocks: tuple[BlockScatter, ...] = Field(default=tuple(BlockScatter() for _ in BLOCKS))

    @classmethod
    def stated(cls, of_a_look: float) -> Dispersion:
        """What is believed before the first look, as if `STATED_LOOKS` looks had shown it."""
        return cls(
            blocks=tuple(
                BlockScatter(mean=of_a_look, weight=max(PRIOR_BLOCKS, STATED_LOOKS / size))
                for size in BLOCKS
            )
        )

    def after(self, count: float, expected: float, forget: float) -> Dispersion:
        """With `count` queries where `expected` were; `forget` is the share of what was known that
        a look makes out of date, all of it from 1 on."""
        if expected <= 0:
            return self
        return Dispersion(
            blocks=tuple(
                block.after(count, expected, size, max(0.0, 1.0 - forget) ** size)
                for size, block in zip(BLOCKS, self.blocks, strict=True)
            )
        )

    @property
    def of_a_look(self) -> float:
        """Over the time between two looks."""
        return max(1.0, self.blocks[0].mean)

    @property
    def in_the_long_run(self) -> float:
        """Over the longest stretches that were seen often enough: what means scatter by."""
        known = [b.mean for b in self.blocks if b.weight >= PRIOR_BLOCKS + FEWEST_BLOCKS]
        return max(self.of_a_look, *known) if known else self.of_a_look
