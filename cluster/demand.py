"""Demand: how many queries per second each client asks of each task (lambda_it), by phase."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cluster.document import Document, FrozenModel

__all__ = ["Demand", "Phase"]

RateQps = Annotated[float, Field(ge=0)]


class Phase(FrozenModel):
    """A stretch of time over which the mean rates hold."""

    duration_s: float = Field(gt=0)
    rates_qps: dict[str, dict[str, RateQps]] = Field(description="client -> task -> queries/s")
    dispersion: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict,
        description="client -> variance / mean of its queries in a window T_b; 1 is Poisson (F17)",
    )

    @property
    def total_qps(self) -> float:
        """Queries per second over all clients and tasks."""
        return sum(sum(rates.values()) for rates in self.rates_qps.values())


class Demand(Document):
    """A sequence of phases; a plan is made for one phase."""

    name: str
    phases: tuple[Phase, ...] = Field(min_length=1)
