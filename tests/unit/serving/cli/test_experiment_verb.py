"""`testbed experiment`: one verb for experiments at the planning level, simulated and live."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import serving.experiments
from cluster.demand import Phase
from planner.experiments import EXPERIMENTS as PLANNED
from serving.cli import experiment_verb
from serving.cli.console import VerbOutput
from serving.cli.main import run
from serving.experiments import EXPERIMENTS as SIMULATED
from serving.experiments import LIVE_EXPERIMENTS as LIVE
from serving.setting.setting import Setting
from serving.traffic.images import LabelledImages
from support.demo_setting import demo_setting
from support.run_files import put_run
from support.synthetic_run import images


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `bursts`, and `windows --live`, were called with, which run nothing here."""
    monkeypatch.chdir(tmp_path)
    put_run(tmp_path, demo_setting())
    calls: list[dict[str, Any]] = []

    def noted(out_dir: Path, setting: Setting, **options: Any) -> Path:
        calls.append({"setting": setting, **options})
        return out_dir / "bursts.csv"

    monkeypatch.setitem(serving.experiments.EXPERIMENTS, "bursts", noted)
    monkeypatch.setitem(serving.experiments.LIVE_EXPERIMENTS, "windows", noted)
    return calls


def test_the_list_has_both_levels(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["experiment", "--list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"experiments": [*PLANNED, *SIMULATED], "live": [*LIVE]}
    assert run(["experiment", "--list"]) == 0
    told = capsys.readouterr().out
    rows = dict(line.split(maxsplit=1) for line in told.splitlines() if line.startswith("  "))
    assert rows.keys() == {*PLANNED, *SIMULATED}
    assert rows["flash-crowd"] == "several times the load for a quarter of a minute"
    assert rows["rivals"].startswith("published planners beside J3O: accuracy")
    assert all(rows.values())
    assert "with --live: drift, noise" in told


def test_one_in_simulated_time_gets_the_profiles_seeds_and_traces(
    called: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.csv", "b.csv"):
        Path(name).write_text("time_s\n0.5\n1.0\n2.5\n")
    arguments = ["--seeds", "4", "--trace", "a.csv", "--trace", "b.csv", "-o", "figures", "--json"]
    assert run(["experiment", "bursts", *arguments]) == 0
    (found,) = called
    assert found["seeds"] == 4
    assert found["traces"] == [Path("a.csv"), Path("b.csv")]
    assert found["setting"].profiles == demo_setting().profiles
    assert json.loads(capsys.readouterr().out)["rows"] == str(Path("figures/bursts.csv"))


def test_policies_are_compared_beside_the_experiments_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    calls: list[dict[str, Any]] = []

    def noted(out_dir: Path, *, also: Sequence[str], **options: Any) -> Path:
        calls.append({"also": also, **options})
        return out_dir / "optimality.csv"

    monkeypatch.setitem(PLANNED, "optimality", noted)
    assert run(["experiment", "optimality", "--policy", "random", "--policy", "exact"]) == 0
    assert calls[0]["also"] == ["random", "exact"]


@pytest.mark.parametrize("live", [(), ("--live",)], ids=["simulated", "live"])
def test_a_trace_that_is_not_there_is_said_before_anything_starts(
    called: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], live: tuple[str, ...]
) -> None:
    assert run(["experiment", "bursts", *live, "--trace", "nowhere.csv"]) == 2
    assert capsys.readouterr().err == "testbed: nowhere.csv: No such file or directory\n"
    assert called == []


def test_one_on_a_cluster_gets_runs_with_real_pictures(
    called: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[set[str], int]] = []

    def pictures(out: VerbOutput, phases: Sequence[Phase], count: int) -> LabelledImages:
        tasks = {task for phase in phases for rates in phase.rates_qps.values() for task in rates}
        asked.append((tasks, count))
        return images(count)

    monkeypatch.setattr(experiment_verb, "load_labelled", pictures)
    assert run(["experiment", "windows", "--live", "--seeds", "2", "--images", "9"]) == 0
    (found,) = called
    assert found["runs"].live
    assert found["seeds"] == 2
    assert found["setting"].topology.name == "demo"
    assert asked == [({"segmentation", "depth", "normals", "keypoints", "edges"}, 9)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["drift", "--profiles", "nowhere.json"], "nowhere.json: No such file"),
        (["drift", "--trace", "a.csv"], "--trace: drift replays none, only bursts does"),
        (["windows", "--trace", "a.csv"], "--trace: windows replays none, only bursts does"),
        (["drift", "--policy", "random"], "--policy: drift compares none, only optimality, commun"),
        (["optimality", "--policy", "randon"], "no policy 'randon'; did you mean 'random'?"),
        (["windows", "--live", "--policy", "mine:f"], "policy 'mine:f': there is no module 'mine'"),
        (["drifts"], "no experiment 'drifts' (valid: convergence"),
        (["convergence", "--live"], "no experiment 'convergence' --live (valid: drift"),
        (["windows", "--live", "--profiles", "nowhere.json"], "nowhere.json: No such file"),
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
