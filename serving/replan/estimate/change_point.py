"""Whether a mean has moved: a two-sided CUSUM test (Page, 1954) on normalised residuals.

A residual is (seen - expected) / standard deviation. Each side adds up what exceeds `DRIFT` and
starts again at 0 when it falls below; a sum above a threshold says that the mean moved when that
side last started. Example: a mean that moves by four standard deviations adds 3.5 a look, and a
threshold of 10 is passed at the third look.
"""

from __future__ import annotations

from pydantic import Field

from cluster.document import FrozenModel

__all__ = ["Cusum"]

DRIFT = 0.5
"""residual that is borne for ever: half of the smallest shift that is looked for"""
LARGEST_RESIDUAL = 6.0
"""what one look may add: counts have longer tails than the normal distribution"""


class Cusum(FrozenModel):
    """The two sums, and for how many looks each has been above 0."""

    up: float = Field(default=0.0, ge=0)
    down: float = Field(default=0.0, ge=0)
    up_looks: int = Field(default=0, ge=0)
    down_looks: int = Field(default=0, ge=0)

    def after(self, residual: float) -> Cusum:
        """With one more look."""
        bounded = max(-LARGEST_RESIDUAL, min(LARGEST_RESIDUAL, residual))
        up = max(0.0, self.up + bounded - DRIFT)
        down = max(0.0, self.down - bounded - DRIFT)
        return Cusum(
            up=up,
            down=down,
            up_looks=self.up_looks + 1 if up else 0,
            down_looks=self.down_looks + 1 if down else 0,
        )

    def looks_since_change(self, threshold: float) -> int:
        """Looks since the mean moved; 0 if it did not. Normal residuals exceed a threshold of 10
        about once in a hundred thousand looks."""
        if self.up > threshold:
            return self.up_looks
        return self.down_looks if self.down > threshold else 0
