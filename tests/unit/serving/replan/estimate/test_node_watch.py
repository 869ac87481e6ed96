"""Which nodes are planned with: those that answer, unless they come and go."""

from __future__ import annotations

from serving.replan.estimate.node_watch import (
    FIRST_HOLD_S,
    FLAP_WINDOW_S,
    LONGEST_HOLD_S,
    NodeWatch,
)


def watched(watch: NodeWatch, answers: bool, now_s: float) -> NodeWatch:
    return watch.after(["c", "e"], ["c", "e"] if answers else ["c"], now_s)


def test_a_node_that_does_not_answer_is_absent_until_it_does() -> None:
    watch = watched(NodeWatch(), True, 0.0)
    assert watch.absent(0.0) == ()
    watch = watched(watch, False, 1.0)
    assert watch.absent(1.0) == ("e",)
    watch = watched(watch, True, 2.0)
    assert watch.absent(2.0) == ()


def flapped(watch: NodeWatch, from_s: float) -> NodeWatch:
    """`e` goes and comes back twice within four seconds."""
    for step, answers in enumerate((False, True, False, True)):
        watch = watched(watch, answers, from_s + step)
    return watch


def test_a_node_that_comes_and_goes_is_held_off_twice_as_long_each_time() -> None:
    watch = flapped(NodeWatch(), 0.0)
    assert watch.absent(3.0 + FIRST_HOLD_S - 0.1) == ("e",)
    assert watch.absent(3.0 + FIRST_HOLD_S) == ()
    again_s = 3.0 + FIRST_HOLD_S
    watch = flapped(watch, again_s)
    assert watch.absent(again_s + 3.0 + 2 * FIRST_HOLD_S - 0.1) == ("e",)
    assert watch.absent(again_s + 3.0 + 2 * FIRST_HOLD_S) == ()


def test_a_hold_never_lasts_longer_than_half_an_hour() -> None:
    watch, now_s = NodeWatch(), 0.0
    for _ in range(12):
        watch = flapped(watch, now_s)
        now_s += 10.0
    assert watch.absent(now_s - 7.0 + LONGEST_HOLD_S) == ()


def test_a_node_that_was_calm_for_long_is_held_off_as_if_for_the_first_time() -> None:
    watch = flapped(NodeWatch(), 0.0)
    calm_s = 3.0 + FIRST_HOLD_S + FLAP_WINDOW_S
    watch = watched(watch, True, calm_s)
    watch = flapped(watch, calm_s + 1.0)
    assert watch.absent(calm_s + 4.0 + FIRST_HOLD_S) == ()


def test_two_returns_that_lie_far_apart_are_no_flapping() -> None:
    watch = NodeWatch()
    for from_s in (0.0, FLAP_WINDOW_S + 1.0):
        watch = watched(watched(watch, False, from_s), True, from_s + 1.0)
        assert watch.absent(from_s + 1.0) == ()


def test_a_hold_of_before_the_machine_was_started_anew_holds_nothing() -> None:
    """The monotonic clock begins at 0 with every boot, and the state of the loop outlives one."""
    watch = flapped(NodeWatch(), 500_000.0)
    assert watch.absent(500_004.0) == ("e",)
    assert watch.absent(20.0) == ()
