"""What a run shows of its batches, and how sure a figure of so many queries is.

Axes: q = query.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from profiling.calibrate import BatchTimes
from profiling.profile import WayCost
from serving.normal_errors import NORMAL_95, median_error
from serving.traffic.measurement import Measurements

__all__ = ["ServedBy", "quantile_margin", "served_by", "share_margin", "way_cost"]


@dataclass(frozen=True)
class ServedBy(BatchTimes):
    """The answers of one model on one node, and how sure what they say of their batches is."""

    @property
    def mean_size(self) -> float:
        """Of a batch, not of the batch that a query was in."""
        return len(self.size_q) / self.batches

    @property
    def size_margin(self) -> float:
        """Half a 95 % interval of `mean_size`; infinite for fewer than two batches."""
        if self.batches < 2:
            return float("inf")
        off_q = (self.size_q - self.mean_size) ** 2
        variance = float(np.sum(off_q / self.size_q)) / (self.batches - 1.0)
        return NORMAL_95 * float(np.sqrt(variance / self.batches))

    def slowness(self, stated_s_q: NDArray[np.float64]) -> tuple[float, float]:
        """The median over answers of their batch's time ÷ `stated_s_q`, and half its 95 % interval
        by the median deviation, which single stalls do not move; infinite for fewer than two
        batches."""
        ratio_q = self.spent_s_q / stated_s_q
        median = float(np.median(ratio_q))
        if self.batches < 2:
            return median, float("inf")
        return median, NORMAL_95 * median_error(ratio_q, self.batches)


def served_by(rows: Measurements) -> list[ServedBy]:
    """The answers of a run by node and model."""
    answered_q = rows.answered
    keys = np.char.add(np.char.add(rows.node, "\n"), rows.model)
    found = []
    for key in np.unique(keys[answered_q]):
        node, model = str(key).split("\n")
        mine_q = answered_q & (keys == key)
        found.append(ServedBy(node, model, rows.batch_size[mine_q], rows.compute_s[mine_q]))
    return found


def way_cost(rows: Measurements) -> WayCost | None:
    """What answers took beside queues, batches and links: of those from their own client, and how
    much more of those that crossed one link. None where no client answered a query itself."""
    beside_s = rows.latency_s - rows.queue_s - rows.batch_wait_s - rows.compute_s - rows.link_s
    own_q = rows.answered & (rows.node == rows.client)
    if not own_q.any():
        return None
    door_s = max(0.0, float(np.median(beside_s[own_q])))
    edge_q = rows.answered & (rows.tier == "edge")
    more_s = float(np.median(beside_s[edge_q])) - door_s if edge_q.any() else 0.0
    return WayCost(door_s=door_s, hop_s=max(0.0, more_s))


def share_margin(share: float, count: int) -> float:
    """Half a 95 % interval of a share of `count` queries, by Agresti and Coull: never 0, for none
    of few is not never."""
    if not count:
        return 1.0
    near = (share * count + 2.0) / (count + 4.0)
    return NORMAL_95 * float(np.sqrt(near * (1.0 - near) / count))


def quantile_margin(values: NDArray[np.float64], level: float) -> float:
    """Half of where a quantile lies by the binomial distribution of its rank; infinite where the
    values are too few to have any beyond it."""
    count = len(values)
    spread = NORMAL_95 * float(np.sqrt(level * (1.0 - level) / max(count, 1)))
    if not count or level + spread > 1.0 - 0.5 / count:
        return float("inf")
    low, high = np.quantile(values, [max(0.0, level - spread), level + spread])
    return float(high - low) / 2.0
