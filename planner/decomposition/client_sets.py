"""A component's clients in the kernels' form, and all the model sets that each of them may hold.

Axis suffixes: c client, t task, m model, s model set, i entry of a list of models.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.decomposition.best_set import Clients
from planner.decomposition.model_sets import ModelSets, enumerate_sets
from planner.fits import room
from planner.paths import has_deadlines, local_open_cmt
from planner.problem import FloatArray, Problem

__all__ = ["client_sets", "clients_of"]

BoolArray = NDArray[np.bool_]
SET_LIMIT = 10_000
"""of a client; above it, searching them at every price takes less time than looking at them all"""
KEPT_BYTES = 64 << 20
"""of clients' model sets, kept from plan to plan"""

Sets = tuple[NDArray[np.int64], NDArray[np.int64]]


class _KnownSets:
    """Model sets of clients that were planned for before, up to `KEPT_BYTES`."""

    def __init__(self) -> None:
        self.of: dict[tuple[object, ...], Sets] = {}
        self._bytes = 0

    def keep(self, key: tuple[object, ...], sets: Sets) -> None:
        """Keep `sets`; where there is no room, those before are forgotten."""
        size = sum(found.nbytes for found in sets)
        if self._bytes + size > KEPT_BYTES:
            self.of.clear()
            self._bytes = 0
        self.of[key] = sets
        self._bytes += size


_known_sets = _KnownSets()


def clients_of(problem: Problem, uplink_c: FloatArray, *, fill: float, gap: float) -> Clients:
    """The clients, of which each sends at most `uplink_c` bytes/s, planned to a relative `gap`."""
    p = problem
    accuracy_cmt = np.array(p.accuracy_mt)[None]
    if has_deadlines(p):
        accuracy_cmt = np.where(local_open_cmt(p), p.accuracy_mt, 0.0)
    # Writable copies: the kernels are compiled once, for one kind of array.
    load_ct = np.array(p.load_ct)
    return Clients(
        accuracy_cmt=accuracy_cmt,
        cost_cm=p.client_setup_cm + p.client_marginal_cm,
        load_ct=load_ct,
        compute_c=fill * p.client_compute_c,
        uplink_c=uplink_c,
        query_bytes_t=np.array(p.query_bytes_t),
        # A client's optimum is found to a small part of the gap asked for; the bound includes it.
        tolerance_c=(0.01 * gap + 1e-9) * np.maximum(load_ct.sum(axis=1), 1e-9),
    )


def client_sets(problem: Problem, clients: Clients) -> tuple[ModelSets, BoolArray]:
    """All maximal model sets of all clients, and which clients have too many for that: they have
    the empty set alone here, and are left to `SearchedClients`."""
    C = len(problem.clients)
    bytes_cm = np.array(problem.client_model_bytes_cm)
    charge_cm = np.array(problem.client_moving_cm)
    charges: list[FloatArray] = []
    searched_c = np.zeros(C, dtype=bool)
    first_set, starts, members, count = [0], [np.zeros(1, dtype=np.int64)], [], 0
    for c in range(C):
        memory = room(float(problem.client_memory_c[c]))
        accuracy_mt = clients.accuracy_cmt[min(c, len(clients.accuracy_cmt) - 1)]
        start, found = _sets_of(
            bytes_cm[c], clients.cost_cm[c], accuracy_mt, clients.load_ct[c] > 0, memory,
            charge_cm[c],
        )  # fmt: skip
        if len(start) == 0:
            searched_c[c] = True
            found, start = np.zeros(0, dtype=np.int64), np.zeros(2, dtype=np.int64)
            charges.append(np.zeros(1))
        else:
            charges.append(_sums(charge_cm[c][found], start))
        first_set.append(first_set[-1] + len(start) - 1)
        starts.append(start[1:] + count)
        members.append(found)
        count += len(found)
    sets = ModelSets(
        np.array(first_set), np.concatenate(starts), np.concatenate(members),
        np.concatenate(charges),
    )  # fmt: skip
    return sets, searched_c


def _sets_of(
    bytes_m: FloatArray, cost_m: FloatArray, accuracy_mt: FloatArray, asked_t: BoolArray,
    memory: float, charge_m: FloatArray,
) -> Sets:  # fmt: skip
    """`enumerate_sets`, kept: loads change and clients' models stay, so the next plan finds the
    sets of this one."""
    rows = (bytes_m, cost_m, accuracy_mt, asked_t, charge_m)
    key = (memory, SET_LIMIT, *(row.tobytes() for row in rows))
    known = _known_sets.of.get(key)
    if known is None:
        known = enumerate_sets(bytes_m, cost_m, accuracy_mt, asked_t, memory, SET_LIMIT, charge_m)
        for found in known:
            found.setflags(write=False)
        _known_sets.keep(key, known)
    return known


def _sums(value_i: FloatArray, start: NDArray[np.int64]) -> FloatArray:
    """Sum of each stretch start[s] ... start[s + 1] - 1 of `value_i`; 0 for an empty one."""
    sums = np.zeros(len(start) - 1)
    some = np.diff(start) > 0
    if some.any():
        sums[some] = np.add.reduceat(value_i, start[:-1][some])
    return sums
