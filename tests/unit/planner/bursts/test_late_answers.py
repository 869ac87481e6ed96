"""Late answers of an edge: windows solved by hand, and the running node's own batcher."""

from __future__ import annotations

from math import inf

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from planner.bursts.late_answers import answered_s, is_late
from planner.problem import FloatArray, Problem
from serving.node.device.batching import WindowBatcher
from support.planner_cases import one_client


def edge(largest_batch: float = inf, compute: float = 1.0) -> Problem:
    """Windows of 1 s; a batch takes 0.5, 0.25 or 0.125 s and as much for each query again."""
    cost = [[0.5, 0.25, 0.125]]
    return one_client(
        window_e=[1.0], edge_compute_e=[compute], edge_max_batch_e=[largest_batch],
        edge_setup_em=cost, edge_marginal_em=cost,
    )  # fmt: skip


def test_batches_run_in_the_order_of_their_first_query_when_their_window_has_closed() -> None:
    arrived_s, model = np.array([0.1, 0.2, 0.3, 1.9]), np.array([1, 2, 1, 2])
    # Model 1 with two queries: 0.25 + 2 x 0.25; then model 2: 0.25. Model 2 again, from 2 s on.
    np.testing.assert_allclose(answered_s(edge(), 0, arrived_s, model), [1.75, 2.0, 1.75, 2.25])
    # With half of the device all takes twice as long: 1.5 and 0.5 s, and 0.5 from 3 s on.
    half = answered_s(edge(compute=0.5), 0, arrived_s, model)
    np.testing.assert_allclose(half, [2.5, 3.0, 2.5, 3.5])
    assert is_late(edge(compute=0.5), 0, arrived_s, model).tolist() == [True, True, True, False]


def test_what_a_window_leaves_undone_makes_the_next_one_late() -> None:
    arrived_s, model = np.array([0.0, 0.5, 0.6, 1.0, 2.5]), np.array([0, 0, 0, 1, 2])
    # 0.5 + 3 x 0.5 s from 1 s on; then 0.5 s that could have begun at 2 s; the last one is alone.
    done_s = answered_s(edge(), 0, arrived_s, model)
    np.testing.assert_allclose(done_s, [3.0, 3.0, 3.0, 3.5, 3.75])
    late = is_late(edge(), 0, arrived_s, model)
    assert late.tolist() == [True, True, True, True, False]


def test_a_full_batch_is_followed_by_another_of_its_model() -> None:
    arrived_s, model = np.array([0.0, 0.1, 0.2, 0.3]), np.array([2, 1, 2, 2])
    done_s = answered_s(edge(largest_batch=2.0), 0, arrived_s, model)
    # Two of model 2 in 0.375 s, the third in 0.25 s, then model 1 in 0.5 s.
    np.testing.assert_allclose(done_s, [1.375, 2.125, 1.375, 1.625])


def test_an_answer_after_exactly_two_windows_is_in_time() -> None:
    one = np.array([0.0]), np.array([0])
    assert not is_late(edge(), 0, *one).any()
    assert len(is_late(edge(), 0, np.zeros(0), np.zeros(0, dtype=np.int64))) == 0


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 10_000), largest=st.sampled_from([1, 3, 1000]))
def test_it_answers_as_the_running_nodes_batcher_does(seed: int, largest: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 40))
    arrived_s, model = np.sort(rng.uniform(0, 8, count)), rng.integers(0, 3, count)
    problem = edge(float(largest))
    expected_s = with_batcher(problem, arrived_s, model, largest)
    np.testing.assert_allclose(answered_s(problem, 0, arrived_s, model), expected_s, rtol=1e-9)


def with_batcher(
    problem: Problem, arrived_s_n: FloatArray, model_n: NDArray[np.int64], largest: int
) -> FloatArray:
    """The same by `WindowBatcher`: a free device takes the next batch, or waits for one."""
    batcher: WindowBatcher[int] = WindowBatcher(1.0, largest)
    done_s_n = np.zeros(len(arrived_s_n))
    now_s, told = 0.0, 0
    while told < len(arrived_s_n) or batcher.waiting():
        while told < len(arrived_s_n) and arrived_s_n[told] <= now_s:
            batcher.push(str(model_n[told]), told, float(arrived_s_n[told]))
            told += 1
        batch = batcher.pop(now_s)
        if batch is None:
            next_s = float(arrived_s_n[told]) if told < len(arrived_s_n) else inf
            wake_s = batcher.wake_s(now_s)
            now_s = min(next_s, inf if wake_s is None else wake_s)
            continue
        setup_s = problem.edge_setup_em[0, int(batch.model)]
        now_s += setup_s + problem.edge_marginal_em[0, int(batch.model)] * len(batch.items)
        done_s_n[list(batch.items)] = now_s
    return done_s_n
