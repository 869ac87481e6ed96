"""`testbed plan --busy-watts`: plans by watts, with a budget or a price (F18)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planner.plan import Plan
from serving.cli.main import run
from support.planner_cases import random_problem

PLAN = ["plan", "--problem", "problem.json", "-o", "plan.json", "--policy", "exact"]
DRAWN = ["--busy-watts", "client=5", "--busy-watts", "edge=70", "--busy-watts", "cloud=300"]


@pytest.fixture(autouse=True)
def _problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    random_problem(2).save("problem.json")


def planned(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert run([*PLAN, *options, "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_a_budget_of_watts_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    free = planned(capsys, *DRAWN)
    drawn = free["watts_by_node"]
    assert free["energy_cost"] == 0
    half = 0.5 * sum(drawn.values())
    found = planned(capsys, *DRAWN, "--max-watts", f"all={half}", "--max-watts", "client-1=0")
    kept = found["watts_by_node"]
    assert sum(kept.values()) <= half * (1 + 1e-6)
    assert kept["client-1"] == 0
    assert 0 < found["objective"] < free["objective"]
    stored = Plan.load("plan.json").predicted
    assert stored is not None
    assert stored.watts_by_node == kept
    assert stored.tightest_by_constraint["F18"] <= 1 + 1e-6


def test_a_price_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*PLAN, *DRAWN, "--joule-price", "0.02"]) == 0
    told = capsys.readouterr().out.replace("\n", " ")
    assert "exact: accuracy less what its joules cost 0.5" in told
    assert "W beyond idling: clients " in told
    assert "; its joules cost 0.0" in told
    assert "buys" not in told


def test_what_a_node_draws_goes_before_its_tier(capsys: pytest.CaptureFixture[str]) -> None:
    found = planned(capsys, *DRAWN, "--busy-watts", "edge-0=0", "--busy-watts", "edge-1=0")
    drawn = found["watts_by_node"]
    assert drawn["edge-0"] == drawn["edge-1"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-watts", "all=5"], "--max-watts: say what devices draw, as --busy-watts client=10"),
        (["--joule-price", "1"], "--joule-price: say what devices draw"),
        (["--busy-watts", "client"], "--busy-watts: expected NAME=WATTS, as client=10"),
        (["--busy-watts", "all=1"], "--busy-watts: no tier or node 'all'"),
        (["--busy-watts", "clinet=1"], "did you mean 'client'?"),
        (["--busy-watts", "edge=nan"], "--busy-watts: edge: expected watts from 0"),
        ([*DRAWN, "--max-watts", "all=1", "--joule-price", "1"], "leave out --max-watts"),
        ([*DRAWN, "--objective", "least"], "leave out --objective"),
        ([*DRAWN, "--policy", "certified"], "'certified' plans without energy (F18)"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_line(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*PLAN, *options]) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_queues_are_followed_by_no_plan_for_watts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "--policy", "exact", *DRAWN, "--routing", "penalty"]) == 2
    assert "leave out --busy-watts" in capsys.readouterr().err.replace("\n", " ")
