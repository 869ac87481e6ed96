"""Tests in real time run again after a stall, and only then."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from support.real_time import MARK, TRIES, StallWatch, call_in_real_time


class Watch(StallWatch):
    """Says that the process stood still for as long as it is told."""

    def __init__(self, stall_s: float) -> None:
        super().__init__()
        self.stall_s = stall_s

    def __exit__(self, *ended: Any) -> None:
        super().__exit__(*ended)
        self.longest_s = self.stall_s


def item_of(test: Callable[..., None], **fixtures: object) -> Any:
    return SimpleNamespace(obj=test, funcargs=fixtures, user_properties=[])


def failing(times: int) -> tuple[Callable[[int], None], list[int]]:
    """A test that fails so many times, in two ways, and the arguments of its calls."""
    calls: list[int] = []

    def test(number: int) -> None:
        calls.append(number)
        if len(calls) <= times and len(calls) % 2:
            pytest.fail("too late\nby far")  # as `pytest.raises` does
        assert len(calls) > times, "too late\nby far"

    return test, calls


def test_a_failure_of_a_process_that_stood_still_is_tried_again_and_told() -> None:
    test, calls = failing(times=TRIES - 1)
    item = item_of(test, number=7, other=None)
    call_in_real_time(item, lambda: Watch(0.05))
    assert calls == [7] * TRIES
    told = [(MARK, "stood still for 50 ms: too late")] * (TRIES - 1)
    assert [(name, said.splitlines()[0]) for name, said in item.user_properties] == told


@pytest.mark.parametrize(("stall_s", "tries"), [(0.05, TRIES), (0.0, 1)])
def test_a_test_that_always_fails_fails_and_at_once_without_a_stall(
    stall_s: float, tries: int
) -> None:
    test, calls = failing(times=100)
    with pytest.raises((AssertionError, pytest.fail.Exception), match="too late"):
        call_in_real_time(cast(pytest.Function, item_of(test, number=1)), lambda: Watch(stall_s))
    assert len(calls) == tries


def test_a_process_that_stands_still_is_seen() -> None:
    with StallWatch() as watch:
        time.sleep(0.05)
        began_s = time.monotonic()
        sum(range(5_000_000))  # in C, where no other thread of the process has a turn
        spent_s = time.monotonic() - began_s
        time.sleep(0.05)
    assert watch.longest_s > spent_s / 2
