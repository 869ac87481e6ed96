"""`testbed calibrate`: after it, the next run is as its profiles predict."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from planner.policies import solve
from profiling.profile import Profiles
from serving.cli.main import run
from serving.runs.manifest import FileKind
from serving.setting.setting import Setting
from serving.simulation.simulate import simulate
from serving.verdicts.judge import PlannedFor, judge_run
from serving.verdicts.verdict import Quantity, failed
from support.demo_setting import demo_demand, demo_setting
from support.run_files import as_measured, newest_run, put_run, run_file

SLOWER = 1.6


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Profiles of devices that are in truth slower, and what a run under their plan measured."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    stated = demo_setting()
    phase = demo_demand().phases[0]
    plan = solve(stated.problem(phase), "certified").plan
    rows = as_measured(simulate(slow(stated), plan, [phase], seed=1))
    put_run(tmp_path, stated, plan, rows)
    return tmp_path


def slow(setting: Setting) -> Setting:
    every = dict.fromkeys((node.name for node in setting.topology.nodes), SLOWER)
    return replace(setting, profiles=setting.profiles.slowed(every))


def test_the_next_run_is_as_predicted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["calibrate", "-o", "out/new.json", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["version"] == 2
    assert all(row["is_s"] > 1.3 * row["was_s"] for row in told["corrected"] if row["batches"] > 20)
    assert Profiles.load(run_file(folder, "profiles.json")) == demo_setting().profiles
    stated = demo_setting()
    known = replace(stated, profiles=Profiles.load(folder / "out" / "new.json"))
    phase = demo_demand().phases[0]
    plan = solve(known.problem(phase), "certified").plan
    rows = simulate(slow(stated), plan, [phase], seed=2)
    wrong = {
        name: len(failed([
            verdict for verdict in judge_run(rows, PlannedFor(setting, plan, phase))
            if verdict.quantity is Quantity.BATCH_LATENCY
        ]))
        for name, setting in (("as profiled", stated), ("as corrected", known))
    }  # fmt: skip
    assert wrong["as profiled"] > 5
    assert wrong["as corrected"] == 0


def test_profiles_of_a_run_stay_and_the_corrected_ones_begin_another(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_run(folder, demo_setting(), name="later")
    assert run(["calibrate", "--run", "first"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "since the measurements file of run first was made from its profiles file" in said
    begun = newest_run(folder)
    assert begun.manifest.from_run == "first"
    assert set(begun.manifest.files) == {FileKind.TOPOLOGY, FileKind.PROFILES}
    assert Profiles.load(begun.checked(FileKind.PROFILES)).version == 2
    assert Profiles.load(folder / "out/runs/first/profiles.json").version == 1


def test_a_file_that_is_named_is_replaced(folder: Path) -> None:
    first = folder / "out/runs/first"
    shutil.copy(first / "profiles.json", "mine.json")
    named = ["--profiles", "mine.json", "--measurements", str(first / "measurements.parquet")]
    assert run(["calibrate", *named]) == 0
    assert run(["calibrate", *named]) == 0
    assert Profiles.load("mine.json").version == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--measurements", "gone.parquet"], "gone.parquet: No such file"),
        (["--profiles", "gone.json"], "gone.json"),
        (["--profiles", "other.json"], "has no batch of a model that other.json has"),
        (["--measurements", "simulated.parquet"], "simulated.parquet: it was simulated, not"),
    ],
)
def test_what_cannot_be_corrected_is_one_line_and_changes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    profiles = demo_setting().profiles
    strange = tuple(
        profile.model_copy(update={"node": f"other-{profile.node}"})
        for profile in profiles.profiles
    )
    profiles.model_copy(update={"profiles": strange}).save(folder / "other.json")
    before = (folder / "other.json").read_bytes()
    assert run(["simulate", "--duration", "2", "-o", "simulated.parquet"]) == 0
    capsys.readouterr()
    assert run(["calibrate", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert (folder / "other.json").read_bytes() == before
    assert Profiles.load(run_file(folder, "profiles.json")).version == 1
