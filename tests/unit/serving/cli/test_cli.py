"""The command line's planning verbs: output, files, exit codes; no Ray, no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from serving.cli.main import run
from serving.runs.manifest import FileKind
from support.paths import ROOT
from support.run_files import newest_run
from support.testbed_process import Testbed, commands_of, readme_blocks


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without files and without a cluster."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path


@pytest.fixture
def bench(tmp_path: Path) -> Testbed:
    return Testbed(tmp_path)


def test_a_sampled_problem_is_planned_checked_and_explained(bench: Testbed) -> None:
    drawn = bench.run(
        "problem", "sample", "--family", "random", "--edges", "2", "--clients-per-edge", "3",
        "--seed", "4", "-o", "problem.json",
    )  # fmt: skip
    assert drawn.returncode == 0, drawn.stderr
    planned = bench.run(
        "plan", "--problem", "problem.json", "--policy", "baj3o", "-o", "plan.json", "--json"
    )
    assert planned.returncode == 0, planned.stderr
    result = json.loads(planned.stdout.splitlines()[-1])
    assert list(result) == [
        "policy", "plan", "run", "status", "objective", "upper_bound", "gap", "iterations",
        "runtime_s", "maximised", "mean_accuracy", "least_accuracy", "proportional_accuracy",
    ]  # fmt: skip
    assert 0 < result["objective"] <= result["upper_bound"] + 1e-9
    assert "10 % more buys" in planned.stderr
    checked = bench.run("evaluate", "plan.json", "--problem", "problem.json", "--json")
    assert checked.returncode == 0
    found = json.loads(checked.stdout)
    assert found["violations"] == []
    assert found["objective"] == pytest.approx(result["objective"], abs=1e-6)


def test_the_readmes_commands_without_a_cluster_work(bench: Testbed) -> None:
    commands = commands_of(readme_blocks()[2])
    assert len(commands) == 3
    for program, *arguments in commands:
        assert program == "testbed"
        done = bench.run(*arguments)
        assert done.returncode == 0, f"{arguments}\n{done.stderr}"
    drawn = newest_run(bench.folder)
    assert set(drawn.manifest.files) == {FileKind.PROBLEM, FileKind.PLAN}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan", "--problem", "nowhere.json"], "nowhere.json: No such file"),
        (["problem", "sample", "--family", "taskonomi"], "family: unknown 'taskonomi'"),
        (["problem", "sample", "--edges", "0"], "--edges"),
        (["evaluate", "nowhere.json"], "nowhere.json: No such file"),
        (["experiment", "nothing"], "no experiment 'nothing' (valid: convergence"),
        (["train", "rooms-tiny-all"], "rooms-tiny-all"),
        (["train", "--pairs"], "name it by --benchmark"),
        (["train", "--pairs", "--benchmark", "room"], "no model of 'room' to train"),
        (
            ["zoo", "affinity", "room"],
            "no pairs of 'room' were trained; benchmarks: domains, rooms",
        ),
        (
            ["zoo", "affinity", "rooms", "--networks", "0"],
            "--networks: expected a whole number from 1",
        ),
        (["deploy", "nowhere.json"], "nowhere.json: No such file"),
        (["drive", "--plan", "nowhere.json"], "nowhere.json: No such file"),
        (["compare", "--profiles", "nowhere.json"], "nowhere.json: No such file"),
        (["profile", "--model", "rooms-small-al"], "near names: rooms-small-all"),
        (["frobnicate"], "No such command 'frobnicate'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert run(arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


def test_an_unknown_policy_names_the_nearest(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["problem", "sample", "--family", "random", "--edges", "1", "-o", "problem.json"])
    assert run(["plan", "--problem", "problem.json", "--policy", "baj30"]) == 2
    assert "did you mean 'baj3o'?" in capsys.readouterr().err


def test_help_names_every_verb_and_brings_neither_ray_nor_torch() -> None:
    code = (
        "import sys\nsys.argv = ['testbed', '--help']\n"
        "from serving.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('ray', 'torch', 'timm') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for verb in (
        "up", "down", "status", "logs", "profile", "plan", "evaluate", "deploy", "drive", "live",
        "decide", "report", "compare", "train", "demo", "problem", "experiment", "runs",
        "scale",
    ):  # fmt: skip
        assert f" {verb} " in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
