"""Batchers: what is released when, without clocks or threads."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.topology import Batching
from serving.errors import RefusalReason, RefusedError
from serving.node.device.admission import find_refusal
from serving.node.device.batching import Batch, Batcher, GreedyBatcher, WindowBatcher, make_batcher
from serving.node.device.latency_model import LatencyModel
from serving.routing.early_refusal import NodeBackoff

Item = TypeVar("Item")
B = TypeVar("B", bound=Batcher[Any])


def drain(batcher: Batcher[Item], now_s: float) -> list[Batch[Item]]:
    batches = []
    while (batch := batcher.pop(now_s)) is not None:
        batches.append(batch)
    return batches


def test_greedy_takes_the_model_that_waited_longest_up_to_its_cap() -> None:
    batcher = GreedyBatcher[int](max_batch=2)
    for model, item, now_s in [("b", 1, 0.0), ("a", 2, 0.1), ("b", 3, 0.2), ("b", 4, 0.3)]:
        batcher.push(model, item, now_s)
    batches = drain(batcher, 0.5)
    assert [(b.model, b.items) for b in batches] == [("b", (1, 3)), ("a", (2,)), ("b", (4,))]
    assert batcher.wake_s(0.5) is None


def test_window_holds_queries_until_their_window_closes() -> None:
    batcher = WindowBatcher[int](window_s=1.0, max_batch=8)
    batcher.push("a", 1, 0.2)
    batcher.push("a", 2, 0.9)
    assert batcher.pop(0.95) is None
    assert batcher.wake_s(0.95) == pytest.approx(1.0)
    batch = batcher.pop(1.0)
    assert batch is not None
    assert (batch.items, batch.closed_s) == ((1, 2), 1.0)


def test_a_query_of_the_next_window_does_not_join_the_closed_one() -> None:
    batcher = WindowBatcher[int](window_s=1.0, max_batch=8)
    batcher.push("a", 1, 0.5)
    batcher.push("a", 2, 1.5)
    assert [batch.items for batch in drain(batcher, 1.6)] == [(1,)]
    assert [batch.items for batch in drain(batcher, 2.0)] == [(2,)]


def test_window_splits_over_the_cap_and_keeps_order_of_arrival() -> None:
    batcher = WindowBatcher[int](window_s=1.0, max_batch=2)
    for item in range(5):
        batcher.push("a" if item % 2 == 0 else "b", item, 0.1 * item)
    assert [batch.items for batch in drain(batcher, 1.0)] == [(0, 2), (4,), (1, 3)]


def test_remove_takes_a_waiting_query_out() -> None:
    for batcher in (GreedyBatcher[object](4), WindowBatcher[object](1.0, 4)):
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
def test_every_query_is_released_once_and_in_order(
    arrivals: list[tuple[str, float]], batching: Batching, cap: int
) -> None:
    batcher: Batcher[tuple[str, int]] = make_batcher(batching, 0.7, cap)
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
def test_a_window_never_mixes_queries_of_two_windows(
    arrivals: list[tuple[str, float]], window_s: float
) -> None:
    batcher = WindowBatcher[int](window_s, 100)
    for number, (model, now_s) in enumerate(arrivals):
        batcher.push(model, number, now_s)
    for batch in drain(batcher, 1_000.0):
        assert len({int(arrived_s // window_s) for arrived_s in batch.arrived_s}) == 1
        assert batch.closed_s - batch.arrived_s[0] <= window_s + 1e-9


def taught(batcher: B, setup_s: float = 0.1, marginal_s: float = 0.01) -> B:
    """`batcher` after batches of model "a" of many sizes."""
    for size in (1, 4, 8, 16) * 5:
        batcher.latency_model.learn("a", size, setup_s + marginal_s * size)
    return batcher


def test_pace_finds_setup_and_marginal_time() -> None:
    latency_model = taught(GreedyBatcher[int](8)).latency_model
    assert latency_model.batch_s("a", 16) == pytest.approx(0.1 + 0.16, rel=0.02)
    assert latency_model.batch_s("a", 1) == pytest.approx(0.11, rel=0.05)
    assert latency_model.work_s([("a", 20), ("never ran", 9)], max_batch=8) == pytest.approx(
        0.5, rel=0.02
    )


@settings(max_examples=100, deadline=None)
@given(
    runs=st.lists(st.tuples(st.integers(1, 64), st.floats(1e-6, 10)), min_size=1, max_size=40),
    size=st.integers(1, 64),
)
def test_pace_expects_finite_time_and_never_less_of_a_larger_batch(
    runs: list[tuple[int, float]], size: int
) -> None:
    latency_model = LatencyModel()
    for batch, spent_s in runs:
        latency_model.learn("a", batch, spent_s)
    assert 0 <= latency_model.batch_s("a", size) <= latency_model.batch_s("a", size + 1) < 1e4


def test_a_batch_says_why_it_closed() -> None:
    greedy, window = taught(GreedyBatcher[int](2)), WindowBatcher[int](1.0, 2)
    for batcher in (greedy, window):
        for number in range(3):
            batcher.push("a", number, 0.1)
    assert [batch.release for batch in drain(greedy, 0.2)] == ["full", "free"]
    assert [batch.release for batch in drain(window, 1.0)] == ["full", "window"]
    for number in range(3):
        greedy.push("a", number, 2.0, deadline_s=2.11)
    first = greedy.pop(2.0)
    assert first is not None
    assert (first.items, first.release) == ((0,), "deadline")


def test_a_batch_grows_no_larger_than_its_most_urgent_query_allows() -> None:
    batcher = taught(GreedyBatcher[int](16))
    for number in range(10):
        batcher.push("a", number, 0.0, deadline_s=5.0 if number else 0.155)
    assert drain(batcher, 0.0)[0].items == (0, 1, 2, 3, 4)


def test_what_cannot_make_its_deadline_any_more_is_taken_out() -> None:
    for batcher in (taught(GreedyBatcher[str](16)), taught(WindowBatcher[str](1.0, 16))):
        batcher.push("a", "soon", 0.0, deadline_s=1.05)
        batcher.push("a", "later", 0.0, deadline_s=3.0)
        batcher.push("a", "whenever", 0.0)
        assert batcher.take_late(0.5) == []
        assert batcher.take_late(1.0) == ["soon"]
        assert [batch.items for batch in drain(batcher, 1.0)] == [("later", "whenever")]


def test_admission_refuses_what_would_break_the_promise_and_says_for_how_long() -> None:
    batcher = taught(GreedyBatcher[int](1, window_s=0.5))
    admitted = 0
    while (refusal := find_refusal(batcher, "a", 10.0, 10.2)) is None:
        batcher.push("a", admitted, 10.0)
        admitted += 1
    assert admitted == 5  # 0.2 s of a running batch and 5 of 0.11 s in 0.85 of 2 x 0.5 s
    assert refusal.reason == "overloaded"
    assert refusal.retry_after_s == pytest.approx(0.2 + 6 * 0.11 - 0.85, abs=0.01)


def test_late_answers_make_admission_more_careful_until_they_are_in_time_again() -> None:
    def room(batcher: Batcher[int], now_s: float) -> int:
        count = 0
        while find_refusal(batcher, "a", now_s, 0.0) is None:
            batcher.push("a", count, now_s)
            count += 1
        drain(batcher, now_s + 5)
        return count

    for new in (lambda: GreedyBatcher[int](1, window_s=0.5), lambda: WindowBatcher[int](0.5, 1)):
        batcher = taught(new())
        at_first = room(batcher, 10.0)
        for _ in range(9):
            batcher.answered(1.01)
        careful = room(batcher, 20.0)
        assert 0 < careful < at_first
        for _ in range(100):
            batcher.answered(0.9)
        assert room(batcher, 30.0) == at_first


def test_a_window_admits_what_the_next_one_can_work_off() -> None:
    """Whatever is still left of the windows before takes its part of that."""
    batcher = taught(WindowBatcher[int](1.0, 1))

    def fill(now_s: float, free_s: float) -> int:
        count = 0
        while find_refusal(batcher, "a", now_s, free_s) is None:
            batcher.push("a", count, now_s)
            count += 1
        return count

    assert fill(0.0, 0.0) == 9
    closed = batcher.pop(1.0)
    assert closed is not None
    assert closed.items == (0,)
    assert fill(1.0, 1.11) == 9
    drain(batcher, 2.0)
    assert fill(2.0, 3.5) == 4


def test_a_query_that_came_early_in_its_window_is_not_pushed_out_of_its_bound() -> None:
    """One that came late may overrun the next window; one that has to run before it may not."""
    batcher = WindowBatcher[int](1.0, 16)
    for model in ("a", "b"):
        for size in (1, 4, 8) * 9:
            batcher.latency_model.learn(model, size, 0.1 * size)
    batcher.push("a", 0, 0.1)
    batcher.push("b", 1, 0.2)
    for number in range(8):
        batcher.push("a", number, 0.3)
    assert find_refusal(batcher, "b", 0.9, 0.0) is None
    assert find_refusal(batcher, "a", 0.9, 0.0) is None
    batcher.push("b", 2, 0.9)
    batcher.push("b", 3, 0.9)
    refusal = find_refusal(batcher, "a", 0.9, 0.0)
    assert refusal is not None
    assert refusal.reason == "overloaded"


@given(
    st.lists(st.sampled_from("ab"), max_size=20),
    st.booleans(),
    st.floats(0.0, 1.0),
    st.integers(1, 5),
)
@settings(max_examples=200, deadline=None)
def test_what_is_forecast_is_when_its_batch_would_end(
    models: list[str], alone: bool, ahead_s: float, max_batch: int
) -> None:
    """Whether one model waits or several."""
    batcher = taught(GreedyBatcher[int | str](max_batch, window_s=0.5))
    for number, model in enumerate(models):
        batcher.push("a" if alone else model, number, 0.01 * number)
    now_s = 1.0
    forecast = batcher.forecast("a", now_s, now_s + ahead_s)
    batcher.push("a", "new", now_s)
    end_s, excess_s = now_s + ahead_s, None
    for batch in drain(batcher, now_s):
        end_s += batcher.latency_model.batch_s(batch.model, len(batch.items))
        if "new" in batch.items:
            assert forecast.done_s == pytest.approx(end_s)
            excess_s = end_s - batch.arrived_s[0] - 0.85
        elif excess_s is not None:
            excess_s = max(excess_s, end_s - batch.arrived_s[0] - 0.85)
    assert forecast.excess_s == pytest.approx(excess_s)


def test_a_query_that_cannot_make_its_deadline_is_refused_when_it_arrives() -> None:
    batcher = taught(GreedyBatcher[int](8, window_s=1.0))
    assert find_refusal(batcher, "a", 0.0, 0.0, deadline_s=0.2) is None
    refusal = find_refusal(batcher, "a", 0.0, 0.15, deadline_s=0.2)
    assert refusal is not None
    assert refusal.reason == "deadline"
    assert taught(WindowBatcher[int](1.0, 8)).forecast("a", 0.3, 0.0).done_s == pytest.approx(
        1.11, rel=0.01
    )


def hold_s(backoff: NodeBackoff, now_s: float) -> float:
    """For how long the edge is not asked again."""
    refusal = backoff.refusal("edge", now_s)
    assert refusal is not None
    return refusal.retry_after_s


def test_a_full_node_is_not_asked_again_before_it_has_room() -> None:
    backoff = NodeBackoff()
    backoff.note("edge", RefusedError(RefusalReason.OVERLOADED, "", 0.2), 5.0)
    backoff.note("cloud", RefusedError(RefusalReason.DEADLINE, "", 0.2), 5.0)
    assert hold_s(backoff, 5.1) == pytest.approx(0.1)
    assert backoff.refusal("cloud", 5.1) is None
    assert backoff.refusal("edge", 5.2) is None


def test_a_node_that_is_full_again_and_again_is_asked_less_and_less() -> None:
    backoff, now_s, holds = NodeBackoff(), 5.0, []
    for _ in range(6):
        backoff.note("edge", RefusedError(RefusalReason.OVERLOADED, "", 0.002), now_s)
        backoff.note(
            "edge", RefusedError(RefusalReason.OVERLOADED, "", 0.002), now_s
        )  # of the same burst
        holds.append(round(hold_s(backoff, now_s), 6))
        now_s += holds[-1] + 0.001
    assert holds == [0.002, 0.004, 0.008, 0.016, 0.02, 0.02]
    backoff.note("edge", RefusedError(RefusalReason.OVERLOADED, "", 0.002), now_s + 1.0)
    assert hold_s(backoff, now_s + 1.0) == pytest.approx(0.002)


def test_the_first_batch_is_expected_to_take_as_long_again() -> None:
    model = LatencyModel()
    model.learn("m", 4, 0.2)
    assert model.batch_s("m", 4) == pytest.approx(0.2)
    assert 0.2 < model.batch_s("m", 8) < 0.4


def test_who_leaves_the_queue_is_not_counted_any_more() -> None:
    batcher = GreedyBatcher[str](max_batch=8)
    for item in ("one", "two", "three"):
        batcher.push("m", item, 0.0)
    assert batcher.remove("two")
    assert (batcher.waiting(), batcher.waiting("m")) == (2, 2)
    assert not batcher.remove("two")
    assert batcher.waiting() == 2


def test_queries_beyond_a_batch_wait_for_the_batches_before() -> None:
    """Five queries in batches of two: one more joins the last, which has one."""
    batcher = GreedyBatcher[int](max_batch=2, window_s=10.0)
    for size in (1, 2):
        for _ in range(30):
            batcher.latency_model.learn("m", size, 0.1 * size)
    for item in range(5):
        batcher.push("m", item, 0.0)
    done_s, _ = batcher.forecast("m", 0.0, 0.0)
    assert done_s == pytest.approx(0.6, rel=0.05)  # 0.2 + 0.2 + 0.2


def test_an_answer_that_comes_right_at_the_deadline_is_in_time() -> None:
    batcher = GreedyBatcher[int](max_batch=2, window_s=10.0)
    for _ in range(30):
        batcher.latency_model.learn("m", 1, 0.25)
    done_s, _ = batcher.forecast("m", 0.0, 0.0)
    assert find_refusal(batcher, "m", 0.0, 0.0, done_s, 8) is None
    refusal = find_refusal(batcher, "m", 0.0, 0.0, done_s - 1e-6, 8)
    assert refusal is not None
    assert refusal.reason is RefusalReason.DEADLINE


def test_a_batch_takes_whom_it_can_answer_right_at_the_deadline() -> None:
    batcher = GreedyBatcher[str](max_batch=4, window_s=10.0)
    for size in (1, 2):
        for _ in range(30):
            batcher.latency_model.learn("m", size, 0.125 * size)
    two_s = batcher.latency_model.batch_s("m", 2)
    batcher.push("m", "one", 0.0, two_s)
    batcher.push("m", "two", 0.0, two_s)
    batch = batcher.pop(0.0)
    assert batch is not None
    assert batch.items == ("one", "two")
