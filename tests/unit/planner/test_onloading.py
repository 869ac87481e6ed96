"""The onloading function is monotone submodular, and the greedy keeps its promise."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.onloading import cover_value, greedy_cover, greedy_cover_nodes

FEW = settings(max_examples=20, deadline=None, derandomize=True, database=None)
SEEDS = st.integers(0, 10_000)


def instance(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    rng = np.random.default_rng(seed)
    value_qm = rng.random((4, 6)) * (rng.random((4, 6)) < 0.6)
    return value_qm, 0.3 * rng.random(4), rng.uniform(0.2, 2.0, 6), float(rng.uniform(0.5, 4))


def as_mask(chosen: tuple[int, ...]) -> np.ndarray:
    return np.isin(np.arange(6), chosen)


@FEW
@given(seed=SEEDS)
def test_a_larger_set_gains_less_from_one_more_model(seed: int) -> None:
    value_qm, base_q, _, _ = instance(seed)
    free = np.zeros(6)
    rng = np.random.default_rng(seed)
    large_m = rng.random(6) < 0.6
    small_m = large_m & (rng.random(6) < 0.5)
    for m in np.flatnonzero(~large_m):
        gains = []
        for chosen_m in (small_m, large_m):
            more_m = chosen_m.copy()
            more_m[m] = True
            before = cover_value(value_qm, base_q, chosen_m, free)
            gains.append(cover_value(value_qm, base_q, more_m, free) - before)
        assert gains[0] >= gains[1] - 1e-12
        assert gains[1] >= -1e-12


@FEW
@given(seed=SEEDS)
def test_greedy_with_best_singleton_keeps_its_factor(seed: int) -> None:
    value_qm, base_q, bytes_m, memory = instance(seed)
    free = np.zeros(6)
    sets = [as_mask(s) for k in range(7) for s in combinations(range(6), k)]
    best = max(cover_value(value_qm, base_q, s, free) for s in sets if bytes_m[s].sum() <= memory)
    chosen_m = greedy_cover(value_qm, base_q, bytes_m, memory)
    assert bytes_m[chosen_m].sum() <= memory
    assert cover_value(value_qm, base_q, chosen_m, free) >= (1 - np.exp(-0.5)) * best - 1e-12


@FEW
@given(seed=SEEDS)
def test_many_nodes_at_once_are_the_same_as_one_by_one(seed: int) -> None:
    parts = [instance(seed + k) for k in range(4)]
    bytes_nm = np.array([np.maximum(part[2], 1.0) for part in parts])
    memory_n = np.array([part[3] * 2 for part in parts])
    chosen_nm = greedy_cover_nodes(
        np.array([part[0] for part in parts]), np.array([part[1] for part in parts]),
        bytes_nm, memory_n,
    )  # fmt: skip
    for n, (value_qm, base_q, _, _) in enumerate(parts):
        alone_m = greedy_cover(value_qm, base_q, bytes_nm[n], float(memory_n[n]))
        assert chosen_nm[n].tolist() == alone_m.tolist()


def test_a_fixed_cost_keeps_a_model_out_that_is_not_worth_it() -> None:
    value_qm = np.array([[1.0, 0.9]])
    chosen_m = greedy_cover(value_qm, np.zeros(1), np.ones(2), 5.0, np.array([0.95, 0.2]))
    assert chosen_m.tolist() == [False, True]
    assert cover_value(value_qm, np.zeros(1), chosen_m, np.array([0.95, 0.2])) == pytest.approx(0.7)
