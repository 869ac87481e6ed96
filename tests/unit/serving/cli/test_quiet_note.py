"""The live loop says once that no query comes, and again after there was one."""

from __future__ import annotations

import pytest

from serving.cli.console import VerbOutput
from serving.cli.live_traffic import QuietNote
from serving.replan.replanner import Look
from support.demo_setting import demo_demand, demo_setting


def test_silence_is_told_once_after_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    from planner.policies import Options, solve

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
