"""Planning in a process of its own: what hangs or dies there costs one plan and no more."""

from __future__ import annotations

import os
import threading
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
from support.planning_tasks import (
    compute_at,
    compute_for,
    die_at,
    do_nothing,
    double,
    fail_at,
    hang_at,
    start_never,
)

pytestmark = pytest.mark.real_time


@contextmanager
def planning(task: Callable[..., object], limit_s: float = 30.0) -> Iterator[PlanningProcess]:
    process = PlanningProcess(task, limit_s, warm=do_nothing)
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


@pytest.mark.parametrize(("task", "computed"), [(hang_at, "0"), (compute_at, "1")])
def test_a_task_that_hangs_or_computes_for_ever_is_given_up_and_its_process_replaced(
    task: Callable[[int], int], computed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning_process, "PATIENCE", 3.0 if task is hang_at else 60.0)
    with planning(task, limit_s=1.0) as plan:
        assert plan(1) == 2
        gone = plan.pid
        words = f"found no plan in .* s, of which it computed for {computed} s; it was killed"
        with pytest.raises(PlanningError, match=words):
            plan(13)
        assert gone is not None
        assert not psutil.pid_exists(gone)
        assert plan(2) == 4
        assert plan.pid != gone


def test_a_task_can_be_begun_and_its_outcome_fetched_later() -> None:
    with planning(compute_for) as plan:
        plan.begin(0.5)
        assert plan.outcome() is None
        begun_s = time.monotonic()
        while (outcome := plan.outcome()) is None:
            assert time.monotonic() - begun_s < 60.0
            time.sleep(0.01)
        assert outcome == 0.5


def test_the_outcome_of_a_task_that_nobody_waits_for_any_more_is_dropped() -> None:
    with planning(compute_for) as plan:
        assert plan(0.0) == 0.0
        plan.begin(0.3)
        assert plan.outcome() is None
        assert plan(0.1) == 0.1


def test_what_others_take_of_the_machine_is_not_held_against_it() -> None:
    """Beside nodes that filled both cores, plans were given up that had hardly been begun."""
    with planning(double, limit_s=0.5) as plan:
        assert plan(1) == 2
        assert plan.pid is not None
        worker = psutil.Process(plan.pid)
        worker.suspend()
        threading.Timer(1.5, worker.resume).start()
        assert plan(2) == 4
        assert plan.pid == worker.pid


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
        assert os.sched_getscheduler(worker.pid) == os.SCHED_IDLE


def test_where_nothing_may_be_given_way_it_plans_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    for name in ("setsid", "nice", "sched_setscheduler"):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(planning_process, "AUTOGROUP", Path("/proc/self/nothing/autogroup"))
    give_way()
