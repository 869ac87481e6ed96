"""`testbed experiment`: one verb for experiments at the planning level and in simulated time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import serving.experiments
from planner.experiments import EXPERIMENTS as PLANNED
from serving.cli.main import run
from serving.experiments import EXPERIMENTS as SIMULATED
from serving.setting.setting import Setting
from support.demo_setting import demo_setting


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the experiment `bursts` was called with, which runs nothing here."""
    monkeypatch.chdir(tmp_path)
    demo_setting().profiles.save(tmp_path / "out" / "profiles.json")
    calls: list[dict[str, Any]] = []

    def noted(out_dir: Path, setting: Setting, **options: Any) -> Path:
        calls.append({"setting": setting, **options})
        return out_dir / "bursts.csv"

    monkeypatch.setitem(serving.experiments.EXPERIMENTS, "bursts", noted)
    return calls


def test_the_list_has_both_levels(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["experiment", "--list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["experiments"]
    assert found == [*PLANNED, *SIMULATED]
    assert run(["experiment", "--list"]) == 0
    assert "in simulated time: drift, noise" in capsys.readouterr().out


def test_one_in_simulated_time_gets_the_profiles_seeds_and_traces(
    called: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--seeds", "4", "--trace", "a.csv", "--trace", "b.csv", "-o", "figures", "--json"]
    assert run(["experiment", "bursts", *arguments]) == 0
    (found,) = called
    assert found["seeds"] == 4
    assert found["traces"] == [Path("a.csv"), Path("b.csv")]
    assert found["setting"].profiles == demo_setting().profiles
    assert json.loads(capsys.readouterr().out)["rows"] == str(Path("figures/bursts.csv"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["drift", "--profiles", "nowhere.json"], "nowhere.json: No such file"),
        (["drift", "--trace", "a.csv"], "--trace: drift replays none, only bursts does"),
        (["windows", "--trace", "a.csv"], "--trace: windows replays none, only bursts does"),
        (["drifts"], "no experiment 'drifts' (valid: convergence"),
    ],
)
def test_bad_input_is_told_before_anything_is_run(
    called: list[dict[str, Any]],
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["experiment", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not called
    assert not list(Path.cwd().rglob("*.csv"))
