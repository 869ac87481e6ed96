"""Several seeds at a time give what each of them gives alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cluster.demand import Phase
from cluster.errors import InputError
from planner.solution import Solution
from serving.setting.setting import Setting
from serving.simulation.many_runs import simulate_runs
from serving.simulation.simulate import simulate
from support.demo_setting import demo_demand
from support.same_rows import assert_same_rows


@pytest.fixture(scope="module")
def phase() -> Phase:
    return demo_demand().phases[0].model_copy(update={"duration_s": 3.0})


@pytest.mark.parametrize("workers", [1, 2])
def test_each_run_is_the_one_of_its_seed_in_whichever_process(
    workers: int, setting: Setting, solution: Solution, phase: Phase
) -> None:
    runs = simulate_runs(
        setting, solution.plan, [phase], [5, 7, 6], workers=workers, spill_over=False
    )
    for seed, rows in zip((5, 7, 6), runs, strict=True):
        alone = simulate(setting, solution.plan, [phase], seed=seed, spill_over=False)
        assert_same_rows(rows, alone)


def test_no_seed_is_no_run(setting: Setting, solution: Solution, phase: Phase) -> None:
    with pytest.raises(InputError, match="no seed"):
        simulate_runs(setting, solution.plan, [phase], [])


INTERRUPTED = """
import os, signal, sys, threading, time
from serving.simulation.on_cores import map_on_cores

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # left out by shells in the background
    threading.Timer(4.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    begun_s = time.monotonic()
    try:
        map_on_cores(time.sleep, [600.0, 600.0, 600.0], workers=2)
    except KeyboardInterrupt:
        print("interrupted after", time.monotonic() - begun_s)
"""


def test_whoever_is_interrupted_waits_for_no_worker(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("interrupted after")
    assert done.stderr == ""
