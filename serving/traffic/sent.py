"""How uneven the traffic was that a run sent: how its counts scatter, and how long bursts last.

Counts are of requests: the tasks that are asked of one image arrive at once, and are no burst.

Axes: q = query, k = bin of time.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cluster.document import FrozenModel
from cluster.lasting_bursts import COUNTED_WINDOWS
from cluster.topology import Topology
from serving.traffic.schedule import Schedule

__all__ = ["ArrivalStatistics", "SentTraffic", "describe_sent", "windows_by_client"]

SECOND_S = 1.0


class ArrivalStatistics(FrozenModel):
    """Of the arrivals of one client, or of all. A value is left out where the run is too short."""

    queries: int
    rate_qps: float
    dispersion_1s: float | None = Field(
        default=None, description="variance ÷ mean of a second's count; 1 for Poisson"
    )
    autocorrelation_1s: float | None = Field(
        default=None, description="of a second's count with the next one's; 0 for Poisson"
    )
    window_s: float | None = Field(
        default=None, description="T_b of the edge it reaches; of all clients, the longest"
    )
    dispersion_window: float | None = Field(
        default=None, description="variance ÷ mean of the count in two windows, 2 T_b (F17)"
    )


class SentTraffic(FrozenModel):
    """What the schedule of a run looked like, by client and in total."""

    total: ArrivalStatistics
    by_client: dict[str, ArrivalStatistics]
    replayed: tuple[str, ...] = Field(
        default=(), description="how recorded arrivals were brought to the rates of the demand"
    )


def windows_by_client(topology: Topology) -> dict[str, float]:
    """T_b in seconds of the edge that each client reaches, the longest if it reaches several."""
    return {
        client.name: max(
            topology.node(link.target).window_s for link in topology.uplinks(client.name)
        )
        for client in topology.clients
    }


def describe_sent(schedule: Schedule, windows_s: Mapping[str, float] | None = None) -> SentTraffic:
    """Statistics of the scheduled arrivals. `windows_s` is T_b by client.

    Each phase has a mean of its own: a step from one to the next is no burst.
    """
    windows_s = windows_s or {}
    longest_s = max(windows_s.values(), default=None)
    first_q = schedule.first_q
    # The places of each client's queries: one pass for all, and not one for each.
    order = np.argsort(schedule.client_q, kind="stable")
    ends = np.searchsorted(schedule.client_q[order], np.arange(1, len(schedule.clients)))
    return SentTraffic(
        total=_statistics(schedule, np.arange(len(schedule)), first_q, longest_s),
        by_client={
            client: _statistics(schedule, places, first_q, windows_s.get(client))
            for client, places in zip(schedule.clients, np.split(order, ends), strict=False)
        },
        replayed=schedule.replayed,
    )


def _statistics(
    schedule: Schedule,
    places: NDArray[np.int64],
    first_q: NDArray[np.bool_],
    window_s: float | None,
) -> ArrivalStatistics:
    """Of the queries at `places` of the schedule; `first_q` marks the first one of each request."""
    first = places[first_q[places]]
    counts = _counts_by_phase(schedule, first, SECOND_S)
    return ArrivalStatistics(
        queries=len(places),
        rate_qps=float(len(places) / schedule.duration_s),
        dispersion_1s=_dispersion(counts),
        autocorrelation_1s=_autocorrelation(counts),
        window_s=window_s,
        dispersion_window=(
            _dispersion(_counts_by_phase(schedule, first, COUNTED_WINDOWS * window_s))
            if window_s
            else None
        ),
    )


def _counts_by_phase(
    schedule: Schedule, first: NDArray[np.int64], bin_s: float
) -> list[NDArray[np.int64]]:
    """Requests (k) in the whole bins of each phase; `first` has the places of their first
    queries."""
    ends_s = (*schedule.phase_starts_s[1:], schedule.duration_s)
    counts = []
    for position, (start_s, end_s) in enumerate(zip(schedule.phase_starts_s, ends_s, strict=True)):
        bins = int((end_s - start_s) / bin_s + 1e-9)
        inside = first[schedule.phase_q[first] == position]
        bin_q = ((schedule.scheduled_s_q[inside] - start_s) / bin_s).astype(int)
        counts.append(np.bincount(bin_q[bin_q < bins], minlength=bins))
    return counts


def _dispersion(counts: list[NDArray[np.int64]]) -> float | None:
    freedom = sum(max(len(counts_k) - 1, 0) for counts_k in counts)
    mean = np.concatenate(counts).mean() if freedom else 0.0
    if not mean:
        return None
    squares = sum(
        float(np.sum((counts_k - counts_k.mean()) ** 2)) for counts_k in counts if counts_k.size
    )
    return squares / freedom / float(mean)


def _autocorrelation(counts: list[NDArray[np.int64]]) -> float | None:
    off = [counts_k - counts_k.mean() for counts_k in counts if len(counts_k) > 1]
    squares = sum(float(np.sum(off_k**2)) for off_k in off)
    if not squares:
        return None
    return sum(float(np.sum(off_k[1:] * off_k[:-1])) for off_k in off) / squares
