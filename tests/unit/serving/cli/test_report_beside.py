"""`testbed report A B`: a page of two runs, from the files of both."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serving.cli.main import run
from support.demo_setting import demo_setting
from support.run_files import put_run
from support.synthetic_run import synthetic


def test_two_runs_are_set_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    rows = synthetic().measurements
    worse = replace(rows, score=np.where(rows.answered, np.maximum(rows.score - 0.05, 0.0), 0.0))
    put_run(tmp_path, demo_setting(), "all-local", rows, name="good")
    put_run(tmp_path, demo_setting(), "all-local", worse, name="poor")
    put_run(tmp_path, demo_setting(), "all-local", name="idle")
    assert run(["report", "good", "poor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["page"] == "out/beside.html"
    assert told["figures"]["measured accuracy"][2].endswith("worse")
    assert told["figures"]["promised accuracy"][2] == "+0.000"
    assert "<title>good beside poor</title>" in Path("out/beside.html").read_text()
    assert run(["report", "good", "idle"]) == 2
    assert "idle: has no measurements; `testbed drive --run idle`" in capsys.readouterr().err
