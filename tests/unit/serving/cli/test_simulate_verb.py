"""`testbed simulate`: a run in simulated time from files alone, and the peak of a plan."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cluster.specs import SPECS
from serving.cli.main import run
from serving.traffic.measurement import Measurements
from support.demo_setting import demo_demand, demo_setting
from support.run_files import put_run, run_file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Plan and profiles where the verbs seek them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    setting = demo_setting()
    put_run(tmp_path, setting, "baj3o")
    return tmp_path


def demand(folder: Path, **more: Any) -> str:
    rates = demo_demand().phases[0].model_dump()["rates_qps"]
    data = {"name": "d", "phases": [{"duration_s": 8, "rates_qps": rates}], **more}
    (folder / "demand.yaml").write_text(yaml.safe_dump(data))
    return str(folder / "demand.yaml")


def test_a_demand_of_bursts_is_simulated_from_files(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bursty = str(SPECS / "bursty-demand.yaml")
    assert run(["simulate", "--demand", bursty, "--duration", "10", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["errors"] == 0
    assert found["sent"]["total"]["dispersion_1s"] > 5
    assert len(Measurements.load(run_file(folder, "simulated.parquet"))) == found["queries"]


def test_several_runs_are_pooled(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})  # no process to start
    asked = ["simulate", "--demand", demand(folder), "--seed", "4"]
    alone = []
    for seed in ("4", "5"):
        assert run([*asked[:-1], seed]) == 0
        alone.append(Measurements.load(run_file(folder, "simulated.parquet")))
    assert run([*asked, "--runs", "2"]) == 0
    assert "accuracy by run: 0." in capsys.readouterr().out
    pooled = Measurements.load(run_file(folder, "simulated.parquet"))
    np.testing.assert_array_equal(pooled.score, np.concatenate([r.score for r in alone]))
    assert pooled.run.duration_s == 16.0
    assert run([*asked, "--runs", "2", "--find-peak"]) == 2
    assert "leave out --runs" in capsys.readouterr().err


def test_a_run_in_parts_is_the_run_in_one_piece(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["simulate", "--demand", demand(folder), "--seed", "4"]
    assert run(asked) == 0
    whole = Measurements.load(run_file(folder, "simulated.parquet"))
    assert run([*asked, "--parts"]) == 0
    parts = Measurements.load(run_file(folder, "simulated.parquet"))
    np.testing.assert_array_equal(parts.done_s, whole.done_s)
    assert parts.run.link_bytes == whole.run.link_bytes
    capsys.readouterr()
    assert run([*asked, "--parts", "--runs", "2"]) == 2
    assert "leave out --find-peak and --runs" in capsys.readouterr().err
    eventful = demand(folder, timeline=[{"at_s": 1, "kill_node": "edge-0"}])
    assert run(["simulate", "--demand", eventful, "--parts"]) == 2
    assert f"leave out the timeline of {eventful}" in capsys.readouterr().err


def test_the_peak_is_found_with_its_interval(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--share", "0.9", "--seeds", "2", "--tolerance", "0.5", "--json"]
    assert run(["simulate", "--demand", demand(folder), "--find-peak", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 1.0 <= found["factor"] < found["fails_at_factor"] <= 1.5 * found["factor"]
    low, high = found["interval"]
    assert low < found["share_in_time"] < high
    assert found["share_in_time"] >= 0.9
    assert found["rate_qps"] == pytest.approx(60 * found["factor"], rel=0.15)
    assert {trial["holds"] for trial in found["trials"]} == {True, False}
    assert not run_file(folder, "simulated.parquet").exists()


def test_a_bound_that_no_load_keeps_ends_with_exit_code_3(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--within", "0.0001", "--seeds", "1"]
    assert run(["simulate", "--demand", demand(folder), "--find-peak", *options]) == 3
    assert "no load keeps 99.0% of the queries in time" in capsys.readouterr().out


def test_events_outside_of_what_is_driven_are_counted_aloud(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    timeline = [{"at_s": 1, "kill_node": "edge-0"}, {"at_s": 6, "kill_node": "cloud"}]
    path = demand(folder, timeline=timeline)
    assert run(["simulate", "--demand", path, "--duration", "3"]) == 0
    assert "1 of the timeline's events lie outside" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("timeline", "words"),
    [
        ([{"at_s": 2, "kill_node": "edge-9"}], "no node is named 'edge-9'; did you mean edge-0?"),
        (
            [{"at_s": 4, "kill_node": "cloud"}, {"at_s": 2, "kill_node": "cloud"}],
            "timeline.1: goes backwards, to 2 s after 4 s",
        ),
    ],
)
def test_a_timeline_that_cannot_be_is_one_line_and_writes_nothing(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    timeline: list[dict[str, Any]],
    words: str,
) -> None:
    assert run(["simulate", "--demand", demand(folder, timeline=timeline)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not run_file(folder, "simulated.parquet").exists()


def test_an_event_is_refused_by_its_file_and_its_number_there(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    timeline = [{"at_s": 1, "kill_node": "edge-0"}, {"at_s": 6, "lose_device": "edge-9"}]
    path = demand(folder, timeline=timeline)
    assert run(["simulate", "--demand", path, "--phase", "0"]) == 2
    assert f"{path}: timeline.1.lose_device: no node is named" in capsys.readouterr().err


def test_a_run_is_judged_by_a_simulation_of_its_queries(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = demand(folder)
    assert run(["simulate", "--demand", path, "-o", "measured.parquet"]) == 0
    against = ["simulate", "--against", "measured.parquet", "--demand", path, "--strict", "--json"]
    capsys.readouterr()
    assert run([*against, "-o", "again.parquet"]) == 0
    found = json.loads(capsys.readouterr().out)["verdicts"]
    simulated = [verdict for verdict in found if verdict["source"] == "simulation"]
    assert simulated
    assert all(verdict["error"] == 0 for verdict in simulated)
    first, again = Measurements.load("measured.parquet"), Measurements.load("again.parquet")
    np.testing.assert_array_equal(first.done_s, again.done_s)


def test_a_prediction_that_fails_ends_with_exit_code_4_if_that_was_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["simulate", "--demand", demand(folder), "-o", "measured.parquet"]) == 0
    rows = Measurements.load("measured.parquet")
    replace(rows, done_s=rows.done_s + 0.5).save("measured.parquet")
    against = ["simulate", "--against", "measured.parquet", "--demand", demand(folder)]
    assert run(against) == 0
    assert "): nothing in the run's data explains it" in capsys.readouterr().out
    assert run([*against, "--strict"]) == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--strict"], "name it with --against"),
        (["--against", "gone.parquet"], "gone.parquet: No such file"),
        (["--against", "measured.parquet", "--find-peak"], "leave out --find-peak"),
        (["--against", "measured.parquet", "--phase", "0"], "leave out --find-peak, --phase"),
        (
            ["--against", "other.parquet"],
            "other.parquet: it was measured under a plan of random",
        ),
        (["--against", "strange.parquet"], "the queries name 'client-9'"),
    ],
)
def test_a_run_that_cannot_be_judged_is_one_line_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    path = demand(folder)
    assert run(["simulate", "--demand", path, "-o", "measured.parquet"]) == 0
    rows = Measurements.load("measured.parquet")
    run_of = rows.run.model_copy(update={"policy": "random", "plan_digest": "0" * 32})
    replace(rows, run=run_of).save("other.parquet")
    renamed = np.where(rows.client == "client-0", "client-9", rows.client)
    replace(rows, client=renamed).save("strange.parquet")
    capsys.readouterr()
    assert run(["simulate", "--demand", path, *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not run_file(folder, "simulated.parquet").exists()


@pytest.mark.parametrize("more", [[], ["--parts"], ["--runs", "2"]])
def test_a_time_into_which_no_query_falls_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    asked = ["simulate", "--demand", demand(folder), "--duration", "0.001", *more]
    assert run(asked) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no query falls into the 0.00" in line
    assert not run_file(folder, "simulated.parquet").exists()


def test_a_folder_is_no_measurements(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", "--against", "out"]) == 2
    assert "out: it is a folder" in capsys.readouterr().err
