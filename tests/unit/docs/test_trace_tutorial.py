"""The tutorial from a trace to a figure: its files, its commands and its figure."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.cli.main import run
from support.demo_setting import demo_setting
from support.doc_examples import commands_in, example
from support.paths import ROOT
from support.run_files import put_run

PAGE = ROOT / "docs" / "tutorials" / "trace.md"


def test_a_trace_becomes_a_plan_a_simulation_a_report_and_a_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    put_run(tmp_path, demo_setting())
    Path("trace.csv").write_text(example(PAGE, "trace"))
    Path("demand.yaml").write_text(example(PAGE, "demand"))
    for command in (*commands_in(PAGE, "commands"), *commands_in(PAGE, "report")):
        assert run(command) == 0, (command, capsys.readouterr().err)
    assert "all-edge" in capsys.readouterr().out
    assert Path("all-edge/report.html").read_text().startswith("<!doctype html")
    exec(compile(example(PAGE, "figure"), PAGE.name, "exec"), {})
    assert Path("refused.png").stat().st_size > 5_000
