"""Planning in a process of its own: what hangs or dies there costs one plan and no more."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from serving.errors import PlanningError
from serving.replan import planning_process
from serving.replan.planning_process import (
    AUTOGROUP,
    LOW_PRIORITY,
    PlanningProcess,
    give_way,
)
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


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="Linux with autogroups only")
def test_it_gives_way_to_every_other_process() -> None:
    """Beside five nodes on two cores, a worker with their priority cost a tenth of the answers in
    time, without a single change of plan."""
    with planning(double) as plan:
        assert plan(1) == 2
        worker = psutil.Process(plan.pid)
        assert worker.nice() == min(psutil.Process().nice() + LOW_PRIORITY, 19)
        assert os.getsid(worker.pid) == worker.pid  # else its weight counts within ours only
        group = Path(f"/proc/{worker.pid}/autogroup").read_text()
        assert group.split()[-1] == str(LOW_PRIORITY)


def test_where_nothing_may_be_given_way_it_plans_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    for name in ("setsid", "nice"):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(planning_process, "AUTOGROUP", Path("/proc/self/nothing/autogroup"))
    give_way()
