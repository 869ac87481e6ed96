"""All model sets a client may load: the maximal ones under its memory (F4).

Axis suffixes: c client, t task, m and n model, s model set, d depth of the search.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from planner.decomposition.compiled import compiled
from planner.problem import FloatArray

__all__ = ["ModelSets", "enumerate_sets", "useful_models"]

NOTHING_TRIED, WITH_IT, WITHOUT_IT = 0, 1, 2
"""What has been tried of the model at a depth of the search."""


class ModelSets(NamedTuple):
    """The model sets of every client, one client after another.

    The sets of client c are s = first_set_c[c] ... first_set_c[c + 1] - 1, and the models of
    set s are members[first_member_s[s] : first_member_s[s + 1]].
    """

    first_set_c: NDArray[np.int64]
    """(C + 1) indices into `first_member_s`."""
    first_member_s: NDArray[np.int64]
    """(S + 1) indices into `members`."""
    members: NDArray[np.int64]
    """Models m of all sets."""
    charge_s: FloatArray
    """What loading the set's models costs, right answers/s (F16)."""


@compiled
def enumerate_sets(
    bytes_m: FloatArray, cost_m: FloatArray, accuracy_mt: FloatArray, asked_t: NDArray[np.bool_],
    memory: float, limit: int, charge_m: FloatArray,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:  # fmt: skip
    """All maximal sets of useful models that fit `memory` bytes: (first_member_s, members).

    More than `limit` sets give an empty `first_member_s`: the caller must not take a part of
    them for all. `cost_m` are busy seconds per query, `asked_t` the tasks with load, `charge_m`
    what it costs to load a model (F16). A set is maximal if no model *without charge* fits beside
    it: sets that differ in models with a charge are all there, since less may be worth more.

    Algorithm: depth-first over the useful models, largest first, with and then without each. A
    branch is left when it can hold no maximal set: when even all that follows would leave room
    for the smallest model skipped so far. Time: O(2^M) at worst for M useful models.

    Exact: only maximal sets are needed, since a client loses nothing by holding more, and a
    model that another beats in everything can be exchanged for it in any plan.
    """
    kept = useful_models(bytes_m, cost_m, accuracy_mt, asked_t, memory, charge_m)
    count = len(kept)
    order = kept[np.argsort(-bytes_m[kept])]
    bytes_from_d = np.zeros(count + 1)
    for depth in range(count - 1, -1, -1):
        bytes_from_d[depth] = bytes_from_d[depth + 1] + bytes_m[order[depth]]
    first_member_s = np.empty(1024, np.int64)
    members = np.empty(8192, np.int64)
    sets, used = 0, 0
    first_member_s[0] = 0
    # By depth d: what was tried of model order[d], and before it is decided the bytes still free
    # and the smallest model skipped.
    tried_d = np.zeros(count + 1, np.int64)
    free_d = np.empty(count + 1)
    smallest_skipped_d = np.empty(count + 1)
    free_d[0], smallest_skipped_d[0] = memory, np.inf
    depth = 0
    while depth >= 0:
        if depth == count:
            if smallest_skipped_d[depth] > free_d[depth]:
                if sets >= limit:
                    return np.empty(0, np.int64), members
                if sets + 2 > len(first_member_s):
                    first_member_s = _twice_as_long(first_member_s)
                if used + count > len(members):
                    members = _twice_as_long(members)
                for d in range(count):
                    if tried_d[d] == WITH_IT:
                        members[used] = order[d]
                        used += 1
                sets += 1
                first_member_s[sets] = used
            depth -= 1
            continue
        size = bytes_m[order[depth]]
        fits = size <= free_d[depth]
        if tried_d[depth] == NOTHING_TRIED:
            tried_d[depth] = WITH_IT
            if fits:
                free_d[depth + 1] = free_d[depth] - size
                smallest_skipped_d[depth + 1] = smallest_skipped_d[depth]
                depth += 1
                tried_d[depth] = NOTHING_TRIED
                continue
        if tried_d[depth] == WITH_IT:
            tried_d[depth] = WITHOUT_IT
            skipped = smallest_skipped_d[depth]
            if fits and charge_m[order[depth]] <= 0:
                skipped = min(skipped, size)
            if not (free_d[depth] - bytes_from_d[depth + 1] >= skipped):
                free_d[depth + 1] = free_d[depth]
                smallest_skipped_d[depth + 1] = skipped
                depth += 1
                tried_d[depth] = NOTHING_TRIED
                continue
        depth -= 1
    return first_member_s[: sets + 1], members[:used]


@compiled
def _twice_as_long(full: NDArray[np.int64]) -> NDArray[np.int64]:
    longer = np.empty(2 * len(full), np.int64)
    for k in range(len(full)):
        longer[k] = full[k]
    return longer


@compiled
def useful_models(
    bytes_m: FloatArray, cost_m: FloatArray, accuracy_mt: FloatArray, asked_t: NDArray[np.bool_],
    memory: float, charge_m: FloatArray,
) -> NDArray[np.int64]:  # fmt: skip
    """Models that fit, serve an asked task, and that no other beats in memory, cost, charge and
    every asked task (of two that are equal in all, the first stays). O(M^2 T)."""
    M, T = accuracy_mt.shape
    kept = np.empty(M, np.int64)
    count = 0
    for m in range(M):
        if not bytes_m[m] <= memory:
            continue
        serves = False
        for t in range(T):
            if asked_t[t] and accuracy_mt[m, t] > 0:
                serves = True
        beaten = not serves
        for n in range(M):
            if n == m or beaten or bytes_m[n] > bytes_m[m] or cost_m[n] > cost_m[m]:
                continue
            if charge_m[n] > charge_m[m]:
                continue
            as_good, better = True, bytes_m[n] < bytes_m[m] or cost_m[n] < cost_m[m]
            better = better or charge_m[n] < charge_m[m]
            for t in range(T):
                if asked_t[t]:
                    if accuracy_mt[n, t] < accuracy_mt[m, t]:
                        as_good = False
                    if accuracy_mt[n, t] > accuracy_mt[m, t]:
                        better = True
            if as_good and (better or n < m):
                beaten = True
        if not beaten:
            kept[count] = m
            count += 1
    return kept[:count]
