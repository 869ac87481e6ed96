"""`testbed plan` of a problem with measured times of batches says how far lines are off (F15)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from planner.plan import Plan
from serving.cli.main import run
from support.planner_cases import random_problem, with_curves

PLAN = ["plan", "--problem", "problem.json", "-o", "plan.json"]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def test_the_error_of_lines_is_told_and_stored(capsys: pytest.CaptureFixture[str]) -> None:
    with_curves(random_problem(2), 2).save("problem.json")
    assert run([*PLAN, "--json"]) == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    certificate = Plan.load("plan.json").certificate
    assert certificate is not None
    assert told["curve_error"] == certificate.curve_error
    assert 0 < told["curve_error"] < 1
    assert f"{told['curve_error']:.2%} of the work apart" in " ".join(said.err.split())
    assert run(["evaluate", "plan.json", "--problem", "problem.json"]) == 0


def test_a_problem_of_lines_has_no_such_error(capsys: pytest.CaptureFixture[str]) -> None:
    random_problem(2).save("problem.json")
    assert run([*PLAN, "--json"]) == 0
    assert "curve_error" not in json.loads(capsys.readouterr().out)
    assert "curve_error" not in Path("plan.json").read_text(encoding="utf-8")
