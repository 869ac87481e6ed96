"""The tables of `testbed runs`, with names as long as those that runs are given."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.cli.main import run
from support.demo_setting import demo_setting
from support.run_files import put_run

NAMES = ("two-edges-20261201-022330", "two-edges-20261201-022610")


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    for name in NAMES:
        put_run(tmp_path, demo_setting(), "greedy-accuracy", name=name)


def test_a_run_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5  # two of headings, and a line below them
    for name, line in zip(reversed(NAMES), lines[3:], strict=True):
        assert line.split()[0] == name
        assert "greedy-accuracy" in line
        assert len(line) <= 80


def test_two_runs_stand_beside_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "--compare", *NAMES]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in NAMES)
