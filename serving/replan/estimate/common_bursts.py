"""How far clients burst at once: rho, the correlation of the rates of any two of them (F17).

In a look, client i sends d_i queries more than its mean. Where clients burst alone, the products
d_i d_j of two clients cancel out over many looks. Where all burst at once, they add up to what
their dispersions give: (I_i - 1) n_i is what the rate adds to the variance of a count with mean
n_i, and its root the deviation of that rate. The ratio of the two sums over all pairs is rho.

Example: of three clients with 20 queries a look and I = 6, each has a variance of 100 from its
rate. When all are 10 above or below their mean at once, a look adds 6 · 100 to the products, and
6 · 100 is what full correlation adds: rho is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pydantic import Field

from cluster.document import FrozenModel

__all__ = ["ClientExcess", "CommonBursts"]

STATED_LOOKS = 60.0
"""that it takes to believe as much in what is seen as in what was stated"""
UNSTATED_LOOKS = 10.0
"""the same where nothing was stated, and clients are taken to burst alone"""


class ClientExcess(NamedTuple):
    """What one client sent in a look."""

    excess: float
    """count - expected"""
    rate_variance: float
    """of the count, beyond Poisson's: (I - 1) n"""


class CommonBursts(FrozenModel):
    """Sums over looks, of which older ones fade; `after` gives the next state."""

    stated: float | None = Field(default=None, description="rho by the plan in force, if it says")
    together: float = Field(default=0.0, description="products of the excesses of two clients")
    at_most: float = Field(default=0.0, ge=0, description="the same if rates were one and the same")

    @property
    def correlation(self) -> float:
        """rho, from 0 to 1; what was stated while nothing was seen."""
        if self.at_most <= 0:
            return self.stated or 0.0
        return min(1.0, max(0.0, self.together / self.at_most))

    def after(self, clients: Sequence[ClientExcess], kept: float) -> CommonBursts:
        """With one more look at `clients`; `kept` is the weight that earlier ones keep. A look in
        which nobody or only one bursts says nothing."""
        excess_c = np.array([client.excess for client in clients])
        spread_c = np.sqrt([max(client.rate_variance, 0.0) for client in clients])
        at_most = float(spread_c.sum() ** 2 - np.sum(spread_c**2))
        if at_most <= 1e-9:
            return self
        together = float(excess_c.sum() ** 2 - np.sum(excess_c**2))
        before_together, before_at_most = self.together * kept, self.at_most * kept
        if self.at_most <= 0:  # the first that says something: as if it had been so before
            looks = UNSTATED_LOOKS if self.stated is None else STATED_LOOKS
            before_at_most = looks * at_most
            before_together = (self.stated or 0.0) * before_at_most
        return self.model_copy(
            update={
                "together": before_together + together,
                "at_most": before_at_most + at_most,
            }
        )
