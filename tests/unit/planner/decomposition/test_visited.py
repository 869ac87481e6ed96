"""What the cuts say of the choices that were looked at: the same in whatever order they come."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.decomposition.grown import Grown
from planner.decomposition.visited import Visited

FEW = settings(max_examples=10, deadline=None, derandomize=True, database=None)
J, T = 5, 2
OWN = [slice(0, 3), slice(3, 5)]
"""places of the models of two edges"""


@FEW
@given(count=st.integers(0, 70))
def test_rows_are_those_that_were_appended(count: int) -> None:
    grown = Grown(3)
    rows = np.random.default_rng(count).random((count, 3))
    for row in rows:
        grown.append(row)
    assert len(grown) == count
    np.testing.assert_array_equal(grown.rows, rows)


def bound(active_j: np.ndarray, base: float, gain_jt: np.ndarray, cost_j: np.ndarray) -> float:
    """base - sum cost + the best gain of each task at each edge."""
    gains = sum(gain_jt[own][active_j[own]].max(axis=0, initial=0.0).sum() for own in OWN)
    return float(base - cost_j[active_j].sum() + gains)


@FEW
@given(seed=st.integers(0, 1000), steps=st.lists(st.booleans(), min_size=1, max_size=30))
def test_every_choice_has_the_bound_of_every_cut(seed: int, steps: list[bool]) -> None:
    rng = np.random.default_rng(seed)
    visited = Visited(OWN)
    base_k, gain_kjt, cost_kj = Grown(), Grown(J, T), Grown(J)
    for is_cut in steps:
        if is_cut:
            base, gain_jt, cost_j = float(rng.random()), rng.random((J, T)), rng.random(J)
            base_k.append(base)
            gain_kjt.append(gain_jt)
            cost_kj.append(cost_j)
            visited.cut(base, gain_jt, cost_j)
        else:
            visited.add(rng.random(J) < 0.5, base_k.rows, gain_kjt.rows, cost_kj.rows)
    cuts = list(zip(base_k.rows, gain_kjt.rows, cost_kj.rows, strict=True))
    for v, active_j in enumerate(visited.choices):
        expected = [bound(active_j, *cut) for cut in cuts]
        np.testing.assert_allclose(visited.bound_k(v), expected, rtol=1e-12)
    keys = [active_j.tobytes() for active_j in visited.choices]
    assert len(set(keys)) == len(keys)


def test_the_highest_choice_is_that_whose_lowest_cut_is_highest() -> None:
    visited = Visited(OWN)
    nothing, first = np.zeros(J, dtype=bool), np.arange(J) == 0
    rows = np.zeros(0), np.zeros((0, J, T)), np.zeros((0, J))
    visited.add(nothing, *rows)
    visited.add(first, *rows)
    gain_jt = np.zeros((J, T))
    gain_jt[0] = 2.0
    visited.cut(10.0, gain_jt, np.zeros(J))  # 10 and 14
    visited.cut(12.0, np.zeros((J, T)), np.ones(J))  # 12 and 11
    found = visited.highest(9.0, set())
    assert found is not None
    assert found[0] == 11.0
    np.testing.assert_array_equal(found[1], first)
    found = visited.highest(9.0, {first.tobytes()})
    assert found is not None
    assert found[0] == 10.0
    assert visited.highest(11.0, set()) is None
    assert visited.tightest(1) == {0, 1}
