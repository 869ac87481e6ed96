"""What `testbed doctor` calls good, poor and broken, and that each fault has its mend."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.gpus import GpuDevice
from cluster.machine import Machine
from serving.cli.main import run
from serving.doctor import checks, look
from serving.doctor.finding import Finding, Fitness
from support.paths import ROOT

GIB = 2**30
WELL = Machine(4, 8 * GIB)


@pytest.mark.parametrize(
    ("finding", "health", "words"),
    [
        (checks.check_python((3, 11)), Fitness.GOOD, "Python 3.11"),
        (checks.check_python((3, 10)), Fitness.BROKEN, "Python 3.10"),
        (checks.check_python((3, 15)), Fitness.BROKEN, "Python 3.15"),
        (checks.check_torch({"torch": "2.14.1"}, ""), Fitness.GOOD, "torch 2.14.1"),
        (checks.check_torch({}, "no torch is installed"), Fitness.BROKEN, "no torch"),
        (checks.check_cores(WELL, 4), Fitness.GOOD, "4 cores"),
        (checks.check_cores(Machine(0.5, GIB), 64), Fitness.POOR, "0.5 cores (the container's"),
        (checks.check_memory(WELL), Fitness.GOOD, "8.0 GiB"),
        (checks.check_memory(Machine(4, GIB)), Fitness.POOR, "1.0 GiB"),
        (checks.check_shared_memory(None), Fitness.GOOD, "no /dev/shm"),
        (checks.check_shared_memory(64 * 2**20), Fitness.POOR, "0.1 GiB free"),
        (checks.check_disk("state", Path("/s"), 9 * GIB, ""), Fitness.GOOD, "9.0 GiB free in /s"),
        (checks.check_disk("state", Path("/s"), 1, ""), Fitness.POOR, "0.0 GiB"),
        (checks.check_disk("state", Path("/s"), None, "Read-only"), Fitness.BROKEN, "Read-only"),
        (checks.check_loopback(""), Fitness.GOOD, "127.0.0.1"),
        (checks.check_loopback("Operation not permitted"), Fitness.BROKEN, "not permitted"),
        (checks.check_gpus(WELL), Fitness.GOOD, "none"),
        (
            checks.check_gpus(Machine(4, GIB, (GpuDevice("GPU-a", 9, "is lost"),))),
            Fitness.POOR,
            "board 0: is lost",
        ),
        (checks.check_gurobi(2000, ""), Fitness.GOOD, "up to 2,000 rows"),
        (checks.check_gurobi(None, ""), Fitness.GOOD, "any size"),
        (checks.check_gurobi(None, "expired"), Fitness.POOR, "expired"),
        (checks.check_cluster("", False, []), Fitness.GOOD, "none is up"),
        (checks.check_cluster("demo", True, []), Fitness.GOOD, "'demo' is up"),
        (checks.check_cluster("demo", False, []), Fitness.BROKEN, "its head has ended"),
        (checks.check_cluster("", False, [7, 8]), Fitness.POOR, "2 processes of another one"),
        (checks.check_shadows([]), Fitness.GOOD, "hides no package"),
        (checks.check_shadows([Path("/home/me/models.py")]), Fitness.POOR, "/home/me/models.py"),
    ],
)
def test_a_reading_is_judged_and_what_is_not_good_has_its_mend(
    finding: Finding, health: Fitness, words: str
) -> None:
    assert finding.health is health
    assert words in finding.words
    assert bool(finding.mend) is (health is not Fitness.GOOD)


def test_each_extra_that_is_missing_is_named_with_its_command() -> None:
    (all_there,) = checks.check_extras(dict.fromkeys(checks.EXTRAS, True))
    assert all_there.health is Fitness.GOOD
    found = checks.check_extras({"matplotlib": True, "gymnasium": True})
    assert [finding.words.split(":")[0] for finding in found] == [
        "no statsmodels", "no gurobipy",
    ]  # fmt: skip
    assert "[forecast]" in found[0].mend


def test_the_verb_tells_what_it_found_and_ends_with_1_if_something_is_broken(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "planner.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(look, "_torch", lambda: ({"torch": "2.14.1"}, ""))
    assert run(["doctor", "--json"]) == 0
    out, err = capsys.readouterr()
    found = {each["about"]: each for each in json.loads(out)["findings"]}
    assert found["Python"]["health"] == "good"
    assert found["this folder"]["words"] == f"scripts here import {tmp_path}/planner.py instead"
    assert "rename it, or run scripts in another folder" in err
    assert not (tmp_path / "state").exists()
    monkeypatch.setattr(look, "_torch", lambda: ({}, "no torch is installed"))
    assert run(["doctor"]) == 1
    assert "1 broken" in capsys.readouterr().out


def test_a_shell_is_told_what_could_come_next() -> None:
    asked = {"_TESTBED_COMPLETE": "complete_bash", "COMP_WORDS": "testbed pl", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "testbed"], capture_output=True, text=True, check=False,
        env={**asked, "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.stdout.split() == ["plan"]
