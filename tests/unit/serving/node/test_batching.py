"""Batchers: what is released when, without clocks or threads."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.topology import Batching
from serving.node.batching import Batch, GreedyBatcher, WindowBatcher, make_batcher


def drain(batcher, now_s: float) -> list[Batch]:
    batches = []
    while (batch := batcher.pop(now_s)) is not None:
        batches.append(batch)
    return batches


def test_greedy_takes_the_model_that_waited_longest_up_to_its_cap() -> None:
    batcher = GreedyBatcher(max_batch=2)
    for model, item, now_s in [("b", 1, 0.0), ("a", 2, 0.1), ("b", 3, 0.2), ("b", 4, 0.3)]:
        batcher.push(model, item, now_s)
    batches = drain(batcher, 0.5)
    assert [(b.model, b.items) for b in batches] == [("b", (1, 3)), ("a", (2,)), ("b", (4,))]
    assert batcher.wake_s(0.5) is None


def test_window_holds_queries_until_their_window_closes() -> None:
    batcher = WindowBatcher(window_s=1.0, max_batch=8)
    batcher.push("a", 1, 0.2)
    batcher.push("a", 2, 0.9)
    assert batcher.pop(0.95) is None
    assert batcher.wake_s(0.95) == pytest.approx(1.0)
    batch = batcher.pop(1.0)
    assert batch is not None
    assert (batch.items, batch.closed_s) == ((1, 2), 1.0)


def test_a_query_of_the_next_window_does_not_join_the_closed_one() -> None:
    batcher = WindowBatcher(window_s=1.0, max_batch=8)
    batcher.push("a", 1, 0.5)
    batcher.push("a", 2, 1.5)
    assert [batch.items for batch in drain(batcher, 1.6)] == [(1,)]
    assert [batch.items for batch in drain(batcher, 2.0)] == [(2,)]


def test_window_splits_over_the_cap_and_keeps_order_of_arrival() -> None:
    batcher = WindowBatcher(window_s=1.0, max_batch=2)
    for item in range(5):
        batcher.push("a" if item % 2 == 0 else "b", item, 0.1 * item)
    assert [batch.items for batch in drain(batcher, 1.0)] == [(0, 2), (4,), (1, 3)]


def test_remove_takes_a_waiting_query_out() -> None:
    for batcher in (GreedyBatcher(4), WindowBatcher(1.0, 4)):
        first, second = object(), object()
        batcher.push("a", first, 0.0)
        batcher.push("a", second, 0.1)
        assert batcher.remove(first)
        assert not batcher.remove(first)
        assert batcher.waiting() == batcher.waiting("a") == 1
        assert [batch.items for batch in drain(batcher, 5.0)] == [(second,)]


arrivals = st.lists(
    st.tuples(st.sampled_from("abc"), st.floats(0, 10, allow_nan=False)), max_size=60
).map(lambda pairs: sorted(pairs, key=lambda pair: pair[1]))


@settings(max_examples=60, deadline=None)
@given(arrivals=arrivals, batching=st.sampled_from(list(Batching)), cap=st.integers(1, 7))
def test_every_query_is_released_once_and_in_order(arrivals, batching, cap) -> None:
    batcher = make_batcher(batching, 0.7, cap)
    for number, (model, now_s) in enumerate(arrivals):
        batcher.push(model, (model, number), now_s)
    batches = drain(batcher, 100.0)
    released = [item for batch in batches for item in batch.items]
    assert sorted(released, key=lambda item: item[1]) == [
        (model, number) for number, (model, _) in enumerate(arrivals)
    ]
    for batch in batches:
        assert 1 <= len(batch.items) <= cap
        assert {model for model, _ in batch.items} == {batch.model}
        assert list(batch.arrived_s) == sorted(batch.arrived_s)
        assert batch.closed_s >= batch.arrived_s[-1]


@settings(max_examples=60, deadline=None)
@given(arrivals=arrivals, window_s=st.floats(0.1, 3.0))
def test_a_window_never_mixes_queries_of_two_windows(arrivals, window_s) -> None:
    batcher = WindowBatcher(window_s, 100)
    for number, (model, now_s) in enumerate(arrivals):
        batcher.push(model, number, now_s)
    for batch in drain(batcher, 1_000.0):
        assert len({int(arrived_s // window_s) for arrived_s in batch.arrived_s}) == 1
        assert batch.closed_s - batch.arrived_s[0] <= window_s + 1e-9
