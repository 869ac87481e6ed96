"""A full node's refusals at its door: said again while they stand, each of them counted."""

from __future__ import annotations

from collections import Counter

import pytest

from serving.errors import RefusalReason, RefusedError
from serving.routing.early_refusal import STANDING_S, WATCHED_S, EarlyRefusals


class Node:
    """What early refusals stand before: says what it is told to, and counts what it is told."""

    def __init__(self, window_s: float = 1.0) -> None:
        self.now_s = 100.0
        self.refusal: RefusedError | None = RefusedError(RefusalReason.OVERLOADED, "full", 0.01)
        self.asked = 0
        self.counted: Counter[tuple[str, RefusalReason]] = Counter()
        self.early_refusals = EarlyRefusals(window_s, self.ask, self.count, lambda: self.now_s)

    def ask(self, task: str) -> RefusedError | None:
        self.asked += 1
        return self.refusal

    def count(self, task: str, reason: RefusalReason, times: int) -> None:
        self.counted[task, reason] += times


@pytest.fixture
def node() -> Node:
    node = Node()
    node.early_refusals.note(RefusalReason.OVERLOADED, node.now_s)
    return node


def test_nobody_is_turned_away_before_somebody_was_refused_for_want_of_room() -> None:
    node = Node()
    node.early_refusals.note(RefusalReason.DEADLINE, node.now_s)
    assert node.early_refusals.refuse("depth") is None
    assert node.asked == 0


def test_a_refusal_is_said_again_without_asking_and_counted_once_for_each(node: Node) -> None:
    standing = node.early_refusals.refuse("depth")
    assert standing is not None
    assert standing.refusal is node.refusal
    assert node.early_refusals.refuse("depth") is standing
    assert standing.repeat()  # as a door does that holds it
    assert node.asked == 1
    node.early_refusals.settle()
    node.early_refusals.settle()
    assert node.counted == {("depth", RefusalReason.OVERLOADED): 3}


def test_it_stands_for_a_few_milliseconds(node: Node) -> None:
    standing = node.early_refusals.refuse("depth")
    node.now_s += STANDING_S * 1.01
    assert standing is not None
    assert not standing.repeat()
    node.refusal = RefusedError(RefusalReason.QUEUE_FULL, "fuller")
    renewed = node.early_refusals.refuse("depth")
    assert renewed is not None
    assert renewed.refusal.reason == "queue_full"
    node.early_refusals.settle()
    assert node.counted == {("depth", RefusalReason.OVERLOADED): 1, ("depth", "queue_full"): 1}


def test_tasks_are_turned_away_each_for_itself(node: Node) -> None:
    assert node.early_refusals.refuse("depth") is not None
    node.refusal = None
    assert node.early_refusals.refuse("edges") is None
    assert node.early_refusals.refuse("depth") is not None
    assert node.asked == 2


def test_saying_no_keeps_the_door_pressed_for_a_second(node: Node) -> None:
    node.now_s += 0.9 * WATCHED_S
    assert node.early_refusals.refuse("depth") is not None
    node.now_s += 0.9 * WATCHED_S
    assert node.early_refusals.refuse("depth") is not None
    node.now_s += 1.1 * WATCHED_S
    assert node.early_refusals.refuse("depth") is None


def test_a_new_plan_ends_what_was_said_also_for_doors_that_hold_it(node: Node) -> None:
    standing = node.early_refusals.refuse("depth")
    node.early_refusals.forget()
    assert standing is not None
    assert not standing.repeat()
    assert node.counted == {("depth", RefusalReason.OVERLOADED): 1}
    node.refusal = None
    assert node.early_refusals.refuse("depth") is None


def test_with_short_windows_it_stands_shorter() -> None:
    node = Node(window_s=0.05)
    node.early_refusals.note(RefusalReason.OVERLOADED, node.now_s)
    standing = node.early_refusals.refuse("depth")
    assert standing is not None
    assert standing.until_s - node.now_s == pytest.approx(0.001)
