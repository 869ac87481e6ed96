"""What each node did in the course of a run, worked out from the rows of its answers.

Axes: t = bins of equal length. The rows say how long a query waited and was computed, and in how
large a batch, but not at what moments: all of it is taken to end when the answer is there, so bins
are right to the time that answers take over the links.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.traffic.measurement import Measurements

__all__ = ["NodeSeries", "RefusalSeries", "bin_edges_s", "node_series", "refusal_series"]

Floats = NDArray[np.float64]
MOST_BINS = 120
LEAST_BIN_S = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class NodeSeries:
    """Of one node: busy share, mean number of queries that wait, mean size of batches, all (t,).

    `batch_t` is not-a-number in bins without a batch.
    """

    busy_t: Floats
    waiting_t: Floats
    batch_t: Floats


@dataclass(frozen=True, slots=True, eq=False)
class RefusalSeries:
    """Queries a second that were refused, by reason, (t,) each; the most frequent reason first."""

    qps_by_reason: Mapping[str, Floats]


def bin_edges_s(duration_s: float) -> Floats:
    """Edges of at most 120 equal bins, none shorter than a quarter of a second."""
    count = int(np.clip(duration_s / LEAST_BIN_S, 1, MOST_BINS))
    return np.linspace(0.0, duration_s, count + 1)


def node_series(measurements: Measurements, edges_s: Floats) -> dict[str, NodeSeries]:
    """Of every node that answered, in the order of the names."""
    answered = measurements.select(measurements.answered)
    found = {}
    for node in sorted(set(answered.node.tolist())):
        rows = answered.select(answered.node == node)
        found[node] = _series(rows, edges_s, measurements.run.busy_s.get(node))
    return found


def _series(rows: Measurements, edges_s: Floats, busy_s: float | None) -> NodeSeries:
    width_s = float(edges_s[1] - edges_s[0])
    batch = np.maximum(rows.batch_size, 1)
    done_s = rows.done_s
    # A batch is as many rows; each carries its share of it.
    spent_s = _mean_number(done_s - rows.compute_s, done_s, edges_s, 1.0 / batch)
    if busy_s is not None and spent_s.sum() > 0:  # tasks that shared a pass are counted once
        spent_s *= min(1.0, busy_s / (spent_s.sum() * width_s))
    begun_s = done_s - rows.compute_s
    waited_s = rows.queue_s + rows.batch_wait_s
    waiting = _mean_number(begun_s - waited_s, begun_s, edges_s, np.ones(len(rows)))
    queries, _ = np.histogram(done_s, edges_s)
    batches, _ = np.histogram(done_s, edges_s, weights=1.0 / batch)
    with np.errstate(invalid="ignore", divide="ignore"):
        sizes = queries / batches
    return NodeSeries(spent_s, waiting, sizes)


def _mean_number(start_s: Floats, end_s: Floats, edges_s: Floats, weight: Floats) -> Floats:
    """Mean over each bin of the weight of the intervals [start, end] that cover a moment, (t,)."""

    def passed(moments_s: Floats) -> Floats:
        """Integral up to each edge of the weight of the moments before it."""
        order = np.argsort(moments_s)
        sorted_s, weights = moments_s[order], weight[order]
        total = np.concatenate([[0.0], np.cumsum(weights)])
        moment = np.concatenate([[0.0], np.cumsum(weights * sorted_s)])
        before = np.searchsorted(sorted_s, edges_s)
        return np.asarray(edges_s * total[before] - moment[before])

    return np.maximum(0.0, np.diff(passed(start_s) - passed(end_s)) / np.diff(edges_s))


def refusal_series(measurements: Measurements, edges_s: Floats) -> RefusalSeries:
    """What was refused or failed, when it was due, by reason."""
    rows = measurements.select(~measurements.answered)
    names, counts = np.unique(rows.reason, return_counts=True)
    width_s = float(edges_s[1] - edges_s[0])
    return RefusalSeries(
        {
            str(name) or "failed": np.histogram(rows.scheduled_s[rows.reason == name], edges_s)[0]
            / width_s
            for name in names[np.argsort(-counts, kind="stable")]
        }
    )
