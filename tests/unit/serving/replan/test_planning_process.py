"""Planning in a process of its own: what hangs or dies there costs one plan and no more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from serving.errors import PlanningError
from serving.replan.planning_process import PlanningProcess
from support.planning_tasks import die_at, do_nothing, double, fail_at, hang_at, start_never

pytestmark = pytest.mark.real_time


@contextmanager
def planning(task: Callable[[int], int], deadline_s: float = 30.0) -> Iterator[PlanningProcess]:
    process = PlanningProcess(task, deadline_s, warm=do_nothing)
    try:
        yield process
    finally:
        process.close()


def test_one_process_does_one_task_after_another() -> None:
    with planning(double) as plan:
        pid = plan.pid
        assert [plan(number) for number in (1, 2, 3)] == [2, 4, 6]
        assert plan.pid == pid
    assert pid is not None
    assert not psutil.pid_exists(pid)


def test_a_task_that_hangs_is_given_up_and_its_process_replaced() -> None:
    with planning(hang_at, deadline_s=1.0) as plan:
        assert plan(1) == 2
        hung = plan.pid
        started_s = time.monotonic()
        with pytest.raises(PlanningError, match="found no plan within 1 s; it was killed"):
            plan(13)
        assert time.monotonic() - started_s < 10.0
        assert hung is not None
        assert not psutil.pid_exists(hung)
        assert plan(2) == 4
        assert plan.pid != hung


def test_a_process_that_dies_is_replaced() -> None:
    with planning(die_at) as plan:
        with pytest.raises(PlanningError, match=r"died \(exit code 9\)"):
            plan(13)
        assert plan(2) == 4


def test_a_process_that_is_killed_between_two_tasks_is_replaced() -> None:
    with planning(double) as plan:
        assert plan(1) == 2
        assert plan.pid is not None
        psutil.Process(plan.pid).kill()
        with pytest.raises(PlanningError, match="died"):
            plan(2)
        assert plan(2) == 4


def test_a_fault_of_the_task_arrives_in_words_and_the_process_goes_on() -> None:
    with planning(fail_at) as plan:
        pid = plan.pid
        with pytest.raises(PlanningError, match="ValueError: 13 is no number to plan for"):
            plan(13)
        assert plan(2) == 4
        assert plan.pid == pid


def test_a_process_that_does_not_start_is_told() -> None:
    plan = PlanningProcess(double, 5.0, warm=start_never)
    try:
        with pytest.raises(PlanningError, match=r"died \(exit code 3\)"):
            plan(1)
    finally:
        plan.close()
