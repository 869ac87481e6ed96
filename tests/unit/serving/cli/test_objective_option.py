"""`testbed plan --objective`: what is fair to clients, and what that costs in the mean (F19)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from planner.plan import Plan
from serving.cli.main import run
from support.planner_cases import random_problem

PLAN = ["plan", "--problem", "problem.json", "-o", "plan.json", "--policy", "exact"]


@pytest.fixture(autouse=True)
def _problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    random_problem(2).save("problem.json")


@pytest.mark.parametrize("objective", ["least", "proportional"])
def test_a_fair_plan_says_what_it_costs_in_the_mean(
    objective: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*PLAN, "--objective", objective, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    certificate = Plan.load("plan.json").certificate
    assert certificate is not None
    assert certificate.maximised == told["maximised"] == objective
    assert told[f"{objective}_accuracy"] == told["objective"] == certificate.objective
    mean = told["plan_for_mean"]
    assert mean[f"{objective}_accuracy"] < told["objective"]
    assert told["fairness_cost"] == mean["mean_accuracy"] - told["mean_accuracy"] > 0
    assert run(["evaluate", "plan.json", "--problem", "problem.json", "--json"]) == 0
    checked = json.loads(capsys.readouterr().out)
    assert checked[f"{objective}_accuracy"] == pytest.approx(told["objective"], abs=1e-6)
    assert min(checked["accuracy_by_client"].values()) == checked["least_accuracy"]


def test_it_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*PLAN, "--objective", "least"]) == 0
    told = capsys.readouterr().out.replace("\n", " ")
    assert "exact: least accuracy of a client 0.36" in told
    assert "worst off is client-0 with accuracy 0.36" in told
    assert "a plan for the mean has accuracy 0.62" in told
    assert "fairness costs 0.0" in told


def test_what_cannot_plan_for_it_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "--problem", "problem.json", "--objective", "least"]) == 2
    assert "'certified' plans for the mean accuracy, not for 'least'" in capsys.readouterr().err
    with_queues = ["plan", "--policy", "exact", "--objective", "least", "--routing", "penalty"]
    assert run(with_queues) == 2
    assert "not for --objective least" in capsys.readouterr().err
