"""The live loop says once that no query comes, and again after there was one."""

from __future__ import annotations

import pytest

from planner.policies import Options, solve
from serving.cli.console import VerbOutput
from serving.cli.live_traffic import QuietNote
from serving.replan.replanner import Look
from support.demo_setting import demo_demand, demo_setting
from support.replan_cases import estimate


def test_silence_is_told_once_after_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    plan = solve(demo_setting().problem(demo_demand().phases[0]), "all-local", Options()).plan
    note = QuietNote(VerbOutput())
    for at_s in range(9):
        note.look(Look(float(at_s), plan))
    assert capsys.readouterr().out == ""
    for at_s in range(9, 30):
        note.look(Look(float(at_s), plan))
    told = " ".join(capsys.readouterr().out.split())
    assert told.count("no query has come for 10 s") == 1
    assert "`testbed live --drive`" in told


def test_at_the_end_the_loop_says_what_it_saw(capsys: pytest.CaptureFixture[str]) -> None:
    plan = solve(demo_setting().problem(demo_demand().phases[0]), "all-local", Options()).plan
    note = QuietNote(VerbOutput())
    note.look(Look(0.0, plan), alone=False)
    assert note.summary(0, 0).startswith("looked 1 time; no query came, so there was nothing")
    for at_s in range(30):
        note.look(Look(float(at_s), plan), alone=False)
    assert capsys.readouterr().out == ""  # a loop that brings its traffic along need not be told
    note.look(Look(31.0, plan, estimate(7.0, 5.5)))
    assert note.summary(3, 1) == (
        "looked 31 times, at up to 12.5 queries/s; 3 decisions, 1 change of plan"
    )
