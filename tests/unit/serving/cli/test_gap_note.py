"""A policy that stops short of the gap asked for says why, and what would help."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.certificate import Status
from planner.policies import Options, solve
from planner.solution import Solution
from serving.cli.console import VerbOutput
from serving.cli.gap_note import note_bursts, note_gap
from support.planner_cases import one_client


def told(capsys: pytest.CaptureFixture[str], solution: Solution, **certificate: object) -> str:
    changed = solution.certificate.model_copy(update=certificate)
    note_gap(VerbOutput(), 0.005, 60.0, replace(solution, certificate=changed))
    return " ".join(capsys.readouterr().out.split())


def test_a_gap_that_was_not_reached_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    solution = solve(one_client(), "certified", Options(overrun=None))
    short = {"gap": 0.0143}
    assert told(capsys, solution, gap=0.004) == ""
    late = told(capsys, solution, status=Status.TIME_LIMIT, **short)
    assert late.startswith("note: --gap 0.005 asks for 0.5 %, 1.43 % was reached: its 60 s were")
    assert "--time-limit" in late
    assert "`--policy exact`" in told(capsys, solution, status=Status.FEASIBLE, **short)
    heuristic = replace(solution, policy="all-local")
    assert told(capsys, heuristic, status=Status.FEASIBLE, **short) == ""


def test_under_bursts_no_other_policy_is_recommended(capsys: pytest.CaptureFixture[str]) -> None:
    for policy in ("certified", "exact"):
        found = solve(one_client(dispersion_c=[4.0]), policy, Options(gap=1e-6))
        said = told(capsys, found, gap=0.06, status=Status.FEASIBLE)
        assert "leave a part to bursts" in said
        assert "--policy" not in said


def test_room_for_bursts_is_told_with_how_wide_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    note_bursts(VerbOutput(), solve(one_client(), "certified", Options()))
    assert capsys.readouterr().out == ""
    note_bursts(VerbOutput(), solve(one_client(dispersion_c=[4.0]), "certified", Options()))
    said = " ".join(capsys.readouterr().out.split())
    assert "scatter up to 4 times as widely as at random (F17)" in said
