"""What a new user read and did not understand: a figure says of what it is a share, or in which."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from planner.policies import solve
from profiling.verify import TOLERATED
from serving.cli import inputs
from serving.cli.ask_verb import limit_words
from serving.cli.console import VerbOutput
from serving.cli.main import run
from serving.cli.peak import trial_words
from serving.cli.profile_output import drift_table
from serving.cli.run_verbs import metrics_words
from serving.metrics.targets import ScrapeTarget
from serving.runs.find import run_around
from serving.traffic.peak import Trial
from support.demo_setting import demo_demand, demo_setting
from support.run_files import put_run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    return tmp_path


def test_the_table_of_drift_says_from_which_ratio_on_it_is_one() -> None:
    written = io.StringIO()
    Console(file=written, width=100).print(drift_table([]))
    assert f"{1 - TOLERATED:.2f} to {1 + TOLERATED:.2f}" in written.getvalue()


def test_progress_of_unknown_length_shows_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    out = VerbOutput()
    with out.progress("rendering images"):
        pass
    with out.progress("driving") as advance:
        advance(3, 4)
    told = capsys.readouterr().out
    assert "None" not in told
    assert "0/" not in told
    assert "3/4" in told


@pytest.mark.parametrize(
    ("trial", "words"),
    [
        (
            Trial(1.0, 2979, 3000, 3, holds=True),
            "holds, at least the 99 % that is asked: 99.30% in time (95 % interval 98.93% to "
            "99.54%; 3 runs)",
        ),
        (
            Trial(2.0, 2955, 3000, 3, holds=False),
            "fails, less than the 99 % that is asked: 98.50% in time (95 % interval 98.00% to "
            "98.88%; 3 runs)",
        ),
        (
            Trial(4.0, 800, 1000, 1, holds=False),
            "fails, less than the 99 % that is asked: 80.00% in time (95 % interval 77.41% to "
            "82.36%; 1 run, which decide it: 2 more left out)",
        ),
    ],
)
def test_a_load_holds_or_fails_by_what_is_asked(trial: Trial, words: str) -> None:
    assert trial_words(trial, 0.99, 3) == words


def test_a_class_is_held_to_its_deadline_and_not_to_its_path() -> None:
    told = {"bound_s": 0.84, "deadline_s": 0.3}
    assert limit_words(told) == "300, its deadline (the path promises 840)"
    assert limit_words({**told, "deadline_s": None}) == "840 promised"


def test_metrics_have_an_address_and_a_command() -> None:
    targets = {"client-0": ScrapeTarget("127.0.0.1:8001", "client")}
    lines = metrics_words(targets, Path("out/prometheus/prometheus.yml"), asks_token=False)
    assert lines == [
        "metrics of a node: curl http://127.0.0.1:8001/metrics",
        "metrics of all: prometheus --config.file=out/prometheus/prometheus.yml, then "
        "http://localhost:9090",
    ]
    with_token = metrics_words(targets, Path("p/prometheus.yml"), asks_token=True)[0]
    assert '-H "authorization: Bearer $(cat p/token)"' in with_token


def test_a_file_of_a_run_means_that_run(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = demo_setting()
    monkeypatch.setattr(inputs, "list_models", lambda *_: setting.cards)
    old = put_run(folder, setting, "all-local", name="old")
    other = setting.problem(demo_demand().phases[1])
    new = put_run(folder, setting, solve(other, "all-local").plan, name="new")
    other.save(new.folder / "problem.json")
    found = run_around(Path("out/runs/old/plan.json"))
    assert found is not None
    assert found.name == "old"
    assert run_around(Path("plan.json")) is None
    assert run(["evaluate", str(old.folder / "plan.json")]) == 0, capsys.readouterr().err
    assert run(["evaluate", "--plan", str(old.folder / "plan.json")]) == 0
    assert "another problem" not in capsys.readouterr().err


def test_plan_and_evaluate_say_of_which_share_their_figures_are(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = demo_setting()
    monkeypatch.setattr(inputs, "list_models", lambda *_: setting.cards)
    put_run(folder, setting)
    assert run(["plan", "--policy", "baj3o"]) == 0
    planned = " ".join(capsys.readouterr().out.split())
    assert "fullest budgets (--fill 0.6: 60% of compute and mean windows counts)" in planned
    assert run(["evaluate"]) == 0
    whole = " ".join(capsys.readouterr().out.split())
    assert "(--fill 1: all of compute and mean windows counts; planned with 0.6)" in whole


@pytest.mark.parametrize("verb", ["evaluate", "deploy"])
def test_a_plan_is_named_once(folder: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([verb, "a.json", "--plan", "b.json", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["error"] == "a.json and --plan b.json: name one plan"
