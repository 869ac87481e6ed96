"""What a run shows of its batches, and how sure a figure of so many queries is.

Axes: q = query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from profiling.calibrate import BatchTimes
from profiling.profile import WayCost
from profiling.scatter import equally_likely
from profiling.shared_hosts import SharedHost
from serving.normal_errors import NORMAL_95, median_error
from serving.traffic.crowding import crowding_by_node, door_slowdown
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


def served_by(rows: Measurements, hosts: Sequence[SharedHost] = ()) -> list[ServedBy]:
    """The answers of a run by node and model. `hosts` are those whose cores nodes share."""
    crowding = crowding_by_node(rows, hosts, _door_s(rows))
    found = []
    for node in np.unique(rows.node[rows.answered]):
        there_q = np.flatnonzero(rows.answered & (rows.node == node))
        done_s_q, spent_s_q = rows.done_s[there_q], rows.compute_s[there_q]
        idle_s_q = _idle_before(done_s_q, spent_s_q)
        crowding_q = np.ones(len(there_q))
        if (host := crowding.get(str(node))) is not None:
            alone_s_q = host.alone_s(done_s_q - spent_s_q, done_s_q)
            np.divide(spent_s_q, alone_s_q, out=crowding_q, where=alone_s_q > 0)
        for model in np.unique(rows.model[there_q]):
            of_model = rows.model[there_q] == model
            mine_q = there_q[of_model]
            found.append(
                ServedBy(
                    str(node), str(model), rows.batch_size[mine_q], rows.compute_s[mine_q],
                    idle_s_q[of_model], crowding_q[of_model],
                )
            )  # fmt: skip
    return found


def _idle_before(
    done_s_q: NDArray[np.float64], spent_s_q: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of the answers of one device: for how long it had been idle when their batches began, as
    nearly as the times of answers say. Infinite before the first.

    A batch began as long before its answer as it took. What was answered before half of that time
    was over came from the batches before it, and what was answered later from its own or later
    ones.
    """
    began_s_q = done_s_q - spent_s_q
    ordered_s = np.concatenate([[-np.inf], np.sort(done_s_q)])
    before_q = np.searchsorted(ordered_s, began_s_q + 0.5 * spent_s_q) - 1
    idle_s_q: NDArray[np.float64] = np.maximum(0.0, began_s_q - ordered_s[before_q])
    return idle_s_q


def way_cost(rows: Measurements, hosts: Sequence[SharedHost] = ()) -> WayCost | None:
    """What answers took beside queues, batches and links: of those from their own client, with how
    it scatters, and how much more of those that crossed one link; while nothing else ran on their
    client's host, where that is one of `hosts`. None where no client answered a query itself."""
    own_q = _own(rows)
    if not own_q.any():
        return None
    beside_s = _beside_s(rows) / door_slowdown(rows, hosts, _door_s(rows))
    door_s = max(0.0, float(np.median(beside_s[own_q])))
    edge_q = rows.answered & (rows.tier == "edge")
    more_s = float(np.median(beside_s[edge_q])) - door_s if edge_q.any() else 0.0
    scatter_s = equally_likely(np.maximum(beside_s[own_q], 0.0) - door_s)
    return WayCost(door_s=door_s, hop_s=max(0.0, more_s), scatter_s=scatter_s)


def _own(rows: Measurements) -> NDArray[np.bool_]:
    """Whether a client answered its own query (q)."""
    own_q: NDArray[np.bool_] = rows.answered & (rows.node == rows.client)
    return own_q


def _beside_s(rows: Measurements) -> NDArray[np.float64]:
    beside_s_q: NDArray[np.float64] = (
        rows.latency_s - rows.queue_s - rows.batch_wait_s - rows.compute_s - rows.link_s
    )
    return beside_s_q


def _door_s(rows: Measurements) -> float:
    """What a query takes at its client's door, whatever else runs there."""
    own_q = _own(rows)
    return max(0.0, float(np.median(_beside_s(rows)[own_q]))) if own_q.any() else 0.0


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
