"""What a batch takes while others compute: beside another model of its node, and another node.

A node's device runs one batch at a time, so a second model does not compute beside the first, but
it takes its place in the caches: its neighbour is timed straight after it. Another node of the host
computes at the same time, on the other cores or the same GPU, and takes part of what they share.
Each ratio is of two medians: beside the neighbour ÷ alone.

What it leaves of the compute budget. A profile's times are those of a node alone. Where the nodes
beside it are busy in the share u of the time, its batches take s = 1 + (r - 1) u times as long in
the mean, r being the ratio beside a node that never rests. So of a second's budget of beta_n only
beta_n / s is there in the profile's seconds: `Profiles.compute_share` is 1 / s. Once `testbed
calibrate` has corrected a profile by what batches took in a run, the neighbours are in its times
and the share is 1.

Example: r = 1.3, and the other nodes of the host have budgets of 0.3 and 0.2. Then u = 0.5,
s = 1.15, and a budget of 0.4 is worth 0.35 of the profile's seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from cluster.document import FrozenModel
from cluster.topology import Node
from profiling.batch_latency import PAUSE_S
from profiling.sampling import median_interval

__all__ = ["BusyRatio", "Interference", "NeighbourTimes", "neighbours_busy", "time_beside"]

RUNS = 9
"""of each case: the second shortest and the second longest bound the median with 96 %"""


class BusyRatio(FrozenModel):
    """Of one model and batch size: what it takes beside a neighbour ÷ alone."""

    model: str
    batch: int = Field(ge=1)
    beside: Literal["model", "node"] = Field(description="on its own node, or on another one")
    neighbour: str = Field(description="the model that the neighbour runs")
    ratio: float = Field(gt=0, description="of the medians")
    low: float = Field(
        gt=0, description="lower end of the busy median's 95 % interval ÷ upper end of the other's"
    )
    high: float = Field(gt=0, description="upper end ÷ lower end")


class Interference(FrozenModel):
    """Of the nodes that share a device of a host."""

    measured_on: str
    rows: tuple[BusyRatio, ...]
    neighbours_busy: dict[str, float] = Field(
        description="by node, the share of the time for which others of its device may be busy"
    )

    def slowdown(self, node: str) -> float:
        """How many times as long as alone the batches of `node` take in the mean."""
        ratios = [row.ratio for row in self.rows if row.beside == "node"]
        if not ratios:
            return 1.0
        return 1.0 + max(0.0, float(np.median(ratios)) - 1.0) * self.neighbours_busy.get(node, 0.0)


class NeighbourTimes(FrozenModel):
    """Seconds of batches, alone and beside a neighbour."""

    alone_s: tuple[float, ...]
    beside_s: tuple[float, ...]

    def ratio(
        self, model: str, batch: int, beside: Literal["model", "node"], neighbour: str
    ) -> BusyRatio:
        """Their medians' ratio. `ValueError` for fewer runs than bound a median."""
        alone, busy = median_interval(self.alone_s), median_interval(self.beside_s)
        if alone is None or busy is None:
            raise ValueError("expected at least six runs alone and beside the neighbour")
        return BusyRatio(
            model=model,
            batch=batch,
            beside=beside,
            neighbour=neighbour,
            ratio=float(np.median(self.beside_s) / np.median(self.alone_s)),
            low=busy[0] / alone[1],
            high=busy[1] / alone[0],
        )


def neighbours_busy(nodes: Sequence[Node]) -> dict[str, float]:
    """Of nodes on one device, by node: for which share of the time another one may be busy, by
    their budgets, as if no two of them ever were at once."""
    share = {node.name: node.compute * node.host_share for node in nodes}
    total = sum(share.values())
    return {name: min(1.0, total - own) for name, own in share.items()}


def time_beside(
    timed: Callable[[], float],
    neighbour: Callable[[], object],
    pause: Callable[[float], None],
) -> NeighbourTimes:
    """Batches straight after one of their own and straight after one of `neighbour`, in turn."""
    alone_s, beside_s = [], []
    for _ in range(RUNS):
        pause(PAUSE_S)
        timed()
        alone_s.append(timed())
        neighbour()
        beside_s.append(timed())
    return NeighbourTimes(alone_s=tuple(alone_s), beside_s=tuple(beside_s))
