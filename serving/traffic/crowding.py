"""How much ran on a host's cores at once in the course of a run, and what that cost.

A host whose cores are taken shares them evenly among what runs (`SharedHost`): the batches of its
nodes, and queries at its clients' doors. What a batch would have taken alone follows from when the
others ran. Axes: q = answer or query, k = times at which something begins or ends, rising.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from profiling.shared_hosts import SharedHost
from serving.traffic.measurement import Measurements

__all__ = ["Crowding", "crowding_by_node", "door_slowdown"]

Floats = NDArray[np.float64]


class Crowding:
    """Of one host, by when its nodes answered in `rows`, whose queries take `door_s` at a door."""

    def __init__(self, rows: Measurements, host: SharedHost, door_s: float = 0.0) -> None:
        begins: list[Floats] = []
        ends: list[Floats] = []
        for node in host.nodes:
            there_q = rows.answered & (rows.node == node)
            end_s_q = rows.done_s[there_q]
            begin_s, end_s = _merged(end_s_q - rows.compute_s[there_q], end_s_q)
            begins.append(begin_s)
            ends.append(end_s)
        if door_s:
            came_s = rows.scheduled_s[np.isin(rows.client, sorted(host.nodes))]
            begins.append(came_s)
            ends.append(came_s + door_s)
        begun_s, ended_s = np.concatenate(begins), np.concatenate(ends)
        time_k = np.concatenate([begun_s, ended_s])
        order_k = np.argsort(time_k, kind="stable")
        step_k = np.repeat([1, -1], [len(begun_s), len(ended_s)])[order_k]
        running_k = np.cumsum(step_k)
        # Before all of it nothing runs.
        self._time_k = np.concatenate([[-np.inf], time_k[order_k]])
        self._slowdown_k = np.array([1.0, *map(host.slowdown, running_k.tolist())])
        lasted_k = np.diff(self._time_k[1:])
        self._work_k = np.concatenate([[0.0, 0.0], np.cumsum(lasted_k / self._slowdown_k[1:-1])])

    def alone_s(self, begin_s_q: Floats, end_s_q: Floats) -> Floats:
        """Of batches that ran in these times: what they would have taken with nothing beside."""
        return self._work_until(end_s_q) - self._work_until(begin_s_q)

    def slowdown_at(self, time_s_q: Floats) -> Floats:
        """How many times as long things took then."""
        slowdown_q: Floats = self._slowdown_k[self._place(time_s_q)]
        return slowdown_q

    def _work_until(self, time_s_q: Floats) -> Floats:
        """What something that always ran would have got done by then, from when the first began."""
        place_q = self._place(time_s_q)
        since_s_q = self._time_k[np.maximum(place_q, 1)] if len(self._time_k) > 1 else 0.0
        work_q: Floats = self._work_k[place_q] + (time_s_q - since_s_q) / self._slowdown_k[place_q]
        return work_q

    def _place(self, time_s_q: Floats) -> NDArray[np.intp]:
        return np.searchsorted(self._time_k, time_s_q, side="right") - 1


def crowding_by_node(
    rows: Measurements, hosts: Iterable[SharedHost], door_s: float
) -> dict[str, Crowding]:
    """By node, that of its host; nodes that share with nobody are left out."""
    found: dict[str, Crowding] = {}
    for host in hosts:
        found |= dict.fromkeys(host.nodes, Crowding(rows, host, door_s))
    return found


def door_slowdown(rows: Measurements, hosts: Iterable[SharedHost], door_s: float) -> Floats:
    """How many times as long each query (q) was at its client's door as it is with nothing beside;
    1 at clients that share with nobody."""
    slowdown_q = np.ones(len(rows))
    for client, host in crowding_by_node(rows, hosts, door_s).items():
        mine_q = rows.client == client
        slowdown_q[mine_q] = host.slowdown_at(rows.scheduled_s[mine_q])
    return slowdown_q


def _merged(begin_s_q: Floats, end_s_q: Floats) -> tuple[Floats, Floats]:
    """Stretches that overlap as one, by when they begin: each answer of a batch names the batch."""
    if not len(begin_s_q):
        return begin_s_q, end_s_q
    order_q = np.argsort(begin_s_q, kind="stable")
    begin_s_q, until_s_q = begin_s_q[order_q], np.maximum.accumulate(end_s_q[order_q])
    first = np.flatnonzero(np.concatenate([[True], begin_s_q[1:] > until_s_q[:-1]]))
    last = np.concatenate([first[1:] - 1, [len(begin_s_q) - 1]])
    return begin_s_q[first], until_s_q[last]
