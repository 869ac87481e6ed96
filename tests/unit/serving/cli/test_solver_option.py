"""`testbed plan --solver`: another solver than the one that was asked for is told."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from cluster.extras import MissingExtraError
from planner.certificate import Certificate
from planner.instances import sample_problem
from planner.plan import Plan
from planner.policies import Options, solve
from planner.solvers import choose
from planner.solvers.gurobi import GurobiUnavailableError
from planner.solvers.highs import solve_highs
from serving.cli import plan_verbs
from serving.cli.main import run


@pytest.fixture(autouse=True)
def _problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    sample_problem("random", edges=1, clients_per_edge=2, models=6, tasks=2).save("problem.json")
    monkeypatch.setattr(plan_verbs, "import_extra", lambda *_: None)  # as if it were installed


def plan(policy: str, solver: str) -> Certificate:
    """The certificate of what `testbed plan` writes."""
    arguments = ["plan", "--problem", "problem.json", "-o", "plan.json", "--gap", "0.01"]
    assert run([*arguments, "--policy", policy, "--solver", solver]) == 0
    certificate = Plan.load("plan.json").certificate
    assert certificate is not None
    return certificate


def test_a_licence_that_does_not_cover_the_problem_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any) -> None:
        raise GurobiUnavailableError("the model is too large for the licence")

    monkeypatch.setattr(choose, "solve_gurobi", refuse)
    assert plan("exact", "gurobi").solver == "HiGHS"
    assert "note: --solver gurobi: HiGHS ran" in capsys.readouterr().out


def test_a_policy_that_takes_no_other_solver_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan("baj3o", "gurobi").solver == "HiGHS"
    assert "note: --solver gurobi: HiGHS ran" in capsys.readouterr().out


def test_what_was_asked_for_and_ran_needs_no_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def solve_gurobi(*arguments: Any) -> Any:
        return replace(solve_highs(*arguments), solver="Gurobi")

    monkeypatch.setattr(choose, "solve_gurobi", solve_gurobi)
    assert plan("exact", "gurobi").solver == "Gurobi"
    assert plan("exact", "highs").solver == "HiGHS"
    assert "note: --solver" not in capsys.readouterr().out


def test_without_gurobi_nothing_is_begun(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(module: str, extra: str, purpose: str) -> None:
        raise MissingExtraError(f"{purpose} needs {module}; pip install 'j3o-testbed[{extra}]'")

    monkeypatch.setattr(plan_verbs, "import_extra", missing)
    assert run(["plan", "--problem", "problem.json", "--solver", "gurobi"]) == 2
    assert capsys.readouterr().err == (
        "testbed: --solver gurobi needs gurobipy; pip install 'j3o-testbed[gurobi]'\n"
    )
    assert not Path("out").exists()


def test_the_certificate_of_a_plan_that_two_solvers_made_names_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`certified` polishes with the solver of the options where F8 couples the edges."""
    module = import_module("planner.programs.among_models")
    real, asked = module.solve_program, []

    def solve_program(program: Any, limits: Any, solver: str, start_v: Any) -> Any:
        asked.append(solver)
        return replace(real(program, limits, "highs", start_v), solver="Gurobi")

    monkeypatch.setattr(module, "solve_program", solve_program)
    drawn = sample_problem(
        "random", edges=2, clients_per_edge=2, models=6, tasks=2, seed=1, cloud_capacity=0.05
    )
    for policy in ("certified", "single-task-only"):
        found = solve(drawn, policy, Options(solver="gurobi", gap=0.0, overrun=None))
        assert found.certificate.solver == "Gurobi and HiGHS"
    assert set(asked) == {"gurobi"}
