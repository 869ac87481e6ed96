"""The report of a run of the live loop: its page and file tell of each change of plan."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cluster.provenance import collect_provenance
from planner.policies import solve
from serving.cli import inputs
from serving.cli.main import run
from serving.replan.decision import decide
from serving.replan.decision_log import ChangeLine, DecisionLine, DecisionLog
from serving.report.report import Report
from serving.runs.manifest import FILE_NAMES, FileKind
from serving.simulation.simulate import simulate
from support.demo_setting import demo_demand, demo_setting
from support.replan_cases import estimate, given, ground, plan_for, problem
from support.run_files import put_run

CHANGED_S = 5.0


@pytest.fixture
def live_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run in which queries followed version 1, and from CHANGED_S on version 2."""
    setting = demo_setting()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(inputs, "list_models", lambda *_: setting.cards)
    plan = solve(setting.problem(demo_demand().phases[0]), "all-local").plan
    phase = demo_demand().phases[0].model_copy(update={"duration_s": 8.0})
    rows = simulate(setting, plan, [phase], seed=1)
    provenance = collect_provenance("testbed live", seed=1)
    driven = replace(
        rows,
        run=rows.run.model_copy(update={"provenance": provenance}),
        plan_version=np.where(rows.scheduled_s < CHANGED_S, 1, 2).astype(np.int32),
    )
    made = put_run(tmp_path, setting, plan, driven)
    on, seen = ground(), given(estimate(1.0, 10.0), plan_for(problem(10, 1)))
    log = DecisionLog(made.folder / FILE_NAMES[FileKind.DECISIONS])
    decision = decide(on, seen)
    line = DecisionLine(
        digest=on.problem.digest, why="w", given=seen, decision=decision, took_s=0.1
    )
    log.decision(on, line)
    log.change(ChangeLine(number=1, version=2))
    kind = FileKind.DECISIONS
    made.record({kind: made.describe(kind, FILE_NAMES[kind], "testbed live", {})})
    return made.folder


def test_each_change_has_its_cause_and_the_seconds_around_it(live_run: Path) -> None:
    assert run(["report", "--json"]) == 0
    report = Report.load(live_run / "report" / "report.json")
    assert report.plan_changes is not None
    (change,) = report.plan_changes
    assert change.version == 2
    assert change.at_s == pytest.approx(CHANGED_S, abs=0.5)
    assert change.routes_changed
    assert change.before is not None
    assert change.after is not None
    assert change.before.queries + change.after.queries == report.measured.queries
    page = (live_run / "report" / "report.html").read_text()
    assert "<h2>Changes of plan</h2>" in page
    assert change.note in page


def test_rows_from_elsewhere_are_not_told_by_this_runs_log(
    live_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "rows.parquet"
    elsewhere.write_bytes((live_run / FILE_NAMES[FileKind.MEASUREMENTS]).read_bytes())
    assert run(["report", "--measurements", str(elsewhere), "-o", "page", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (change,) = Report.load(told["report"]).plan_changes or ()
    assert change.note == "not in the log"
    assert change.routes_changed is None
