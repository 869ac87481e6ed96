"""F14 on the command line: a demand with bundles is planned and simulated from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from planner.problem import Problem
from serving.cli.main import run
from support.demo_setting import demo_setting
from support.run_files import put_run, run_file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Profiles and a demand where the verbs seek them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    put_run(tmp_path, demo_setting())
    bundle = {"client": "client-0", "tasks": ["segmentation", "depth"], "qps": 4.0}
    rates: dict[str, Any] = {"client-0": {"edges": 1.0}, "client-1": {}}
    phases = [{"duration_s": 20, "rates_qps": rates, "bundles": [bundle]}]
    (tmp_path / "demand.yaml").write_text(yaml.safe_dump({"name": "pairs", "phases": phases}))
    return tmp_path


def test_a_demand_with_bundles_is_planned_and_simulated(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = ["plan", "--demand", "demand.yaml", "--policy", "exact", "--gap", "0.01", "--json"]
    assert run(plan) == 0
    planned = json.loads(capsys.readouterr().out)
    problem = Problem.load(run_file(folder, "problem.json"))
    assert problem.asks_together
    assert problem.bundle_load_cb.max() == 4.0
    assert problem.total_load_qps == pytest.approx(9.0)
    assert run(["simulate", "--demand", "demand.yaml", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["errors"] == 0
    assert found["queries"] == pytest.approx(9.0 * 20, rel=0.3)
    assert found["accuracy"] == pytest.approx(planned["mean_accuracy"], rel=0.1)
    assert run(["evaluate", "--json"]) == 0
    checked = json.loads(capsys.readouterr().out)
    assert checked["objective"] == pytest.approx(planned["mean_accuracy"], rel=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--overrun", "0.05"], "(F14), plans are for the mean load"),
        (["--policy", "exact", "--objective", "least"], "leave out the objective 'least' (F19)"),
        (["--routing", "penalty"], "requests for several tasks keep to their shares"),
    ],
)
def test_what_bundles_do_not_go_with_is_refused_in_a_line(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert run(["plan", "--demand", "demand.yaml", *options]) == 2
    error = capsys.readouterr().err
    assert message in " ".join(error.split())
    assert not (folder / "out" / "plan.json").exists()
