"""What outlives the live loop, and that there is one loop."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.providers.state import ClusterError
from serving.replan.loop_state import (
    LoopState,
    hold_loop_lock,
    load_state,
    loop_process,
    state_file,
)
from support.replan_cases import plan_for, problem


def test_a_loop_goes_on_from_the_plan_in_force(tmp_path: Path) -> None:
    plan = plan_for(problem(10, 1)).model_copy(update={"version": 7})
    path = LoopState(plan=plan, decisions=3).save(state_file(tmp_path))
    assert load_state(path, 7) == LoopState(plan=plan, decisions=3)


def test_the_state_of_another_plan_than_the_one_in_force_counts_for_nothing(
    tmp_path: Path,
) -> None:
    path = LoopState(plan=plan_for(problem(10, 1))).save(state_file(tmp_path))
    assert load_state(path, 2) is None


@pytest.mark.parametrize("text", [None, "", "{", '{"plan": 3}'])
def test_a_state_that_cannot_be_read_counts_for_nothing(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        state_file(tmp_path).write_text(text)
    assert load_state(state_file(tmp_path), 1) is None


def test_a_second_loop_on_a_cluster_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    with hold_loop_lock(tmp_path), pytest.raises(ClusterError) as refused, hold_loop_lock(tmp_path):
        pass
    assert str(refused.value) == (
        f"a live loop runs on this cluster already (process {os.getpid()}); end it first"
    )
    with hold_loop_lock(tmp_path):
        pass


def test_a_loop_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal\n"
        "from serving.replan.loop_state import hold_loop_lock\n"
        f"with hold_loop_lock(pathlib.Path({str(tmp_path)!r})):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -9
    with hold_loop_lock(tmp_path):
        pass


def test_the_loop_that_runs_is_found_and_one_that_ended_is_not(tmp_path: Path) -> None:
    assert loop_process(tmp_path) is None
    with hold_loop_lock(tmp_path):
        assert loop_process(tmp_path) == os.getpid()
    assert loop_process(tmp_path) is None  # this process lives, and its number is in the file
    (tmp_path / "live.lock").write_text("")
    assert loop_process(tmp_path) is None


def test_the_lock_is_for_its_user_alone(tmp_path: Path) -> None:
    with hold_loop_lock(tmp_path / "state"):
        assert (tmp_path / "state" / "live.lock").stat().st_mode & 0o077 == 0
