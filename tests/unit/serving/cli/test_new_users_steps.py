"""What a new user ran into: each step works, or says in one line what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.table import Table

from cluster.errors import InputError
from cluster.providers import lifecycle
from planner.policies import Options, solve
from serving.cli.console import VerbOutput
from serving.cli.main import run
from serving.cli.run_verbs import refuse_other_tasks
from serving.rollout.stages import MemoryBudgets
from support.demo_setting import demo_demand, demo_setting


def test_a_name_that_does_not_fit_goes_on_in_the_next_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = VerbOutput()
    out._people.width = 24
    table = Table("run", "policy")
    table.add_row("demo-20261130-112804", "certified")
    out.table(table)
    told = capsys.readouterr().out
    assert "…" not in told
    columns = [line.split("  ")[0].strip() for line in told.splitlines()]
    assert "demo-20261130-112804" in "".join(columns)


def test_a_model_of_another_benchmark_goes_before_anything_comes() -> None:
    budgets = MemoryBudgets({("edge", "new"): 10}, {"edge": 100})
    assert budgets.used_bytes("edge", ["new"]) == 10
    assert budgets.used_bytes("edge", ["stranger", "new"]) > budgets.memory_bytes["edge"]


def test_tracebacks_that_people_were_told_of_outlive_the_cluster(tmp_path: Path) -> None:
    for name in ("driver.jsonl", "error-20261130-x.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "client-0").mkdir()
    lifecycle._forget_logs(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["error-20261130-x.txt"]
    lifecycle._forget_logs(tmp_path / "nowhere")


def test_evaluating_a_plan_that_was_edited_says_that_its_promise_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    problem = demo_setting().problem(demo_demand().phases[0])
    problem.save("problem.json")
    data = solve(problem, "all-local", Options()).plan.model_dump(mode="json", exclude_none=True)
    data["routes"][0]["share"] *= 0.5
    Path("mine.json").write_text(json.dumps(data))
    assert run(["evaluate", "mine.json", "--problem", "problem.json"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "note: mine.json: it says an accuracy of" in told


def test_nodes_that_were_started_for_other_tasks_are_left_alone_with_a_word() -> None:
    refuse_other_tasks(("depth", "edges"), ("depth",))
    with pytest.raises(InputError, match="started for depth, edges, and not for streets-depth; "):
        refuse_other_tasks(("depth", "edges"), ("depth", "streets-depth"))
