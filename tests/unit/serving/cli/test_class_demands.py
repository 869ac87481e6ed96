"""Deadline classes (F20) on the command line: planned and simulated from a demand file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from planner.plan import Plan
from serving.cli.main import run
from serving.traffic.measurement import Measurements
from support.demo_setting import demo_demand, demo_setting
from support.run_files import put_run

FAST = {"depth": {"fast": {"share": 0.4, "deadline_s": 0.1}}}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    put_run(tmp_path, demo_setting())
    return tmp_path


def demand(name: str, **keys: Any) -> str:
    rates = demo_demand().phases[0].model_dump()["rates_qps"]
    data = {"name": "d", "phases": [{"duration_s": 6, "rates_qps": rates}], **keys}
    Path(name).write_text(yaml.safe_dump(data))
    return name


def test_classes_go_from_the_demand_through_the_plan_into_the_figures(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stated = demand("classes.yaml", classes=FAST, deadlines_s={"edges": 0.9})
    assert run(["plan", "--demand", stated]) == 0
    plan = Plan.load("out/runs/first/plan.json")
    assert plan.deadlines_s == {"depth@fast": 0.1, "edges": 0.9}
    assert {route.tier for route in plan.routes if route.task == "depth@fast"} == {"client"}
    assert run(["evaluate"]) == 0
    capsys.readouterr()
    assert run(["simulate", "--demand", stated, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["by_deadline"]
    assert set(found) == {"depth", "depth@fast", "edges"}
    assert found["depth@fast"]["kept_share"] > 0.5
    rows = Measurements.load("out/runs/first/simulated.parquet")
    assert rows.run.deadlines_s == plan.deadlines_s
    against = ["simulate", "--against", "out/runs/first/simulated.parquet", "--demand", stated]
    assert run([*against, "-o", "again.parquet"]) == 0


def test_a_demand_without_the_classes_of_a_plan_is_simulated_and_one_with_others_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", "--demand", demand("classes.yaml", classes=FAST)]) == 0
    assert run(["simulate", "--demand", demand("plain.yaml")]) == 0
    capsys.readouterr()
    other = {"depth": {"slow": {"share": 0.4, "deadline_s": 2.0}}}
    assert run(["simulate", "--demand", demand("other.yaml", classes=other)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "testbed: other.yaml: the plan has no class depth@slow, of depth it has fast; "
        "`testbed plan` makes one for this demand"
    )


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            {"classes": {"depth": {"fast": {"share": 1.4, "deadline_s": 0.1}}}},
            "classes.yaml: classes.depth.fast.share: expected a number of at most 1",
        ),
        (
            {"deadlines_s": {"dpeth": 1.0}},
            "classes.yaml: deadlines_s.dpeth: unknown; did you mean 'depth'?",
        ),
    ],
)
def test_wrong_classes_are_one_line_and_plan_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], keys: dict[str, Any], words: str
) -> None:
    assert run(["plan", "--demand", demand("classes.yaml", **keys)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not Path("out/runs/first/plan.json").exists()
