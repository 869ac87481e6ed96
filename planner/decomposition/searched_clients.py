"""Clients that may hold so many model sets that each is sought anew at every price.

What was found at earlier prices helps: a set that was the best is a good one to begin with, and a
bound rises by at most load_t for each unit that remote_t rises (see `best_set`).

Axis suffixes: c client, t task, m model, j model that the client may hold, p set to begin with,
n earlier prices.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from planner.decomposition.best_set import ROUNDING_UP, Clients, Offers
from planner.decomposition.client_kernel import ClientProblem
from planner.decomposition.model_sets import useful_models
from planner.decomposition.routing_layout import routing_length
from planner.decomposition.set_search import Holdable, search_sets
from planner.fits import room
from planner.problem import FloatArray, Problem

__all__ = ["SearchedClients"]

BoolArray = NDArray[np.bool_]
LATEST_SETS, LATEST_PRICES = 12, 8
MOST_BRANCHES = 2000
"""of a search; a client's bound is that of the branches left if they are not enough"""


@dataclass(eq=False)
class _Searched:
    """One client, the sets that were found for it, and its bounds at the latest prices."""

    may: Holdable
    sets: list[BoolArray] = field(default_factory=list)
    number: dict[bytes, int] = field(default_factory=dict)
    latest: list[int] = field(default_factory=list)
    """Numbers of the latest best sets, the last one last."""
    bounds: list[tuple[FloatArray, float]] = field(default_factory=list)
    """(remote_t, bound at these offers), the latest last."""

    def bound(self, remote_t: FloatArray, load_t: FloatArray) -> float:
        """By what is known from earlier prices."""
        rises = [
            value + float(load_t @ np.maximum(remote_t - before_t, 0.0)) * ROUNDING_UP
            for before_t, value in self.bounds
        ]
        return min(rises, default=np.inf)

    def keep(self, held_j: BoolArray, remote_t: FloatArray, bound: float) -> int:
        """The number of a set that was the best at these offers; it is added if it is new."""
        number = self.number.setdefault(held_j.tobytes(), len(self.sets))
        if number == len(self.sets):
            self.sets.append(held_j)
        self.latest = [*(n for n in self.latest if n != number), number][-LATEST_SETS:]
        self.bounds = [*self.bounds, (remote_t, bound)][-LATEST_PRICES:]
        return number


class SearchedClients:
    """The clients `searched_c` of a problem; the others are priced elsewhere."""

    def __init__(self, problem: Problem, clients: Clients, searched_c: BoolArray) -> None:
        self._clients = clients
        self._of: dict[int, _Searched] = {}
        for c in np.flatnonzero(searched_c).tolist():
            memory = room(float(problem.client_memory_c[c]))
            bytes_m = np.array(problem.client_model_bytes_cm[c])
            charge_m = np.array(problem.client_moving_cm[c])
            asked_t = clients.load_ct[c] > 0
            accuracy_mt = clients.accuracy_cmt[min(c, len(clients.accuracy_cmt) - 1)]
            m_j = useful_models(bytes_m, clients.cost_cm[c], accuracy_mt, asked_t, memory, charge_m)
            may = Holdable(m_j, bytes_m[m_j], charge_m[m_j], memory)
            self._of[c] = _Searched(may)

    def __contains__(self, c: int) -> bool:
        return c in self._of

    def members(self, c: int, number: int) -> NDArray[np.int64]:
        """Models m of a set of client c."""
        found = self._of[c]
        return found.may.m_j[found.sets[number]]

    def price(
        self, offers: Offers, value_c: FloatArray, routing_cr: FloatArray,
        best_set_c: NDArray[np.int64],
    ) -> None:  # fmt: skip
        """Fill in the bounds, routings and set numbers of these clients."""
        clients = self._clients
        for c, known in self._of.items():
            remote_t = offers.remote_ct[c]
            client = ClientProblem(
                clients.accuracy_cmt[min(c, len(clients.accuracy_cmt) - 1)], clients.cost_cm[c],
                clients.load_ct[c], float(clients.compute_c[c]), float(clients.uplink_c[c]),
                remote_t, offers.in_cloud_ct[c], clients.query_bytes_t, offers.cloud_net_t,
            )  # fmt: skip
            count = len(known.may.m_j)
            start_pj = np.array([known.sets[number] for number in known.latest], dtype=bool)
            start_pj = start_pj.reshape(-1, count) if known.latest else np.zeros((1, count), bool)
            held_j = np.zeros(count, dtype=bool)
            routing_r = np.empty(routing_length(len(remote_t)))
            bound, _ = search_sets(
                client, known.may, start_pj, known.bound(remote_t, clients.load_ct[c]),
                float(clients.tolerance_c[c]), MOST_BRANCHES, held_j, routing_r,
            )  # fmt: skip
            value_c[c], routing_cr[c] = bound, routing_r
            best_set_c[c] = known.keep(held_j, remote_t, bound)
