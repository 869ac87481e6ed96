"""`testbed decide`, and how `testbed live` ends; no cluster."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cluster.errors import InputError
from serving.cli.decision_words import look_words
from serving.cli.live_verbs import _change_policy, _for
from serving.cli.main import app
from serving.replan.decision import decide
from serving.replan.decision_log import DecisionLine, DecisionLog
from support.looped import look_report
from support.replan_cases import estimate, given, ground, plan_for, problem


def write_log(path: Path, **changes: Any) -> None:
    on, seen = ground(), given(estimate(1.0, 10.0), plan_for(problem(10, 1)))
    values: dict[str, Any] = {"decision": decide(on, seen), "took_s": 0.1, "why": "a test"}
    values.update(changes)
    DecisionLog(path).decision(on, DecisionLine(digest=on.problem.digest, given=seen, **values))


def test_a_logged_decision_is_made_again_and_found_the_same(tmp_path: Path) -> None:
    log, plan = tmp_path / "decisions.jsonl", tmp_path / "plan.json"
    write_log(log)
    done = CliRunner().invoke(
        app, ["decide", "--from", str(log), "--line", "2", "-o", str(plan), "--json"]
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["same"], found["line"], found["differences"]) == (True, 2, [])
    assert found["decision"]["alternatives"][found["decision"]["chosen"]]["kind"] == "plan"
    assert json.loads(plan.read_text())["onloading"]["c"] == ["x"]


def test_a_decision_that_differs_ends_with_exit_code_1(tmp_path: Path) -> None:
    log = tmp_path / "decisions.jsonl"
    write_log(log)
    text = log.read_text()
    assert '"edges":10.0' in text
    log.write_text(text.replace('"edges":10.0', '"edges":0.5'))
    done = CliRunner().invoke(app, ["decide", "--from", str(log)])
    assert done.exit_code == 1
    assert "differs: the choice: plan then, stay now" in done.stdout


def test_a_decision_that_failed_in_the_loop_is_told(tmp_path: Path) -> None:
    log = tmp_path / "decisions.jsonl"
    write_log(log, decision=None, fault="no plan within 10 s")
    done = CliRunner().invoke(app, ["decide", "--from", str(log)])
    assert done.exit_code == 1
    assert "planning failed then: no plan within 10 s" in done.stdout


def test_a_forecast_of_periods_that_are_shorter_than_a_look_is_refused() -> None:
    done = CliRunner().invoke(app, ["live", "--forecast", "24", "--period", "1"])
    assert isinstance(done.exception, InputError)
    said = str(done.exception)
    assert "each of 24 periods would be 1 s, no longer than the 1 s between two looks" in said


def test_a_forecast_asks_for_the_load_of_the_period_that_begins() -> None:
    assert _change_policy(None, 24, 1.0).name == "reactive"
    policy = _change_policy(86400.0, 24, 1.0)
    assert (policy.name, policy.every_s) == ("forecast", 3600.0)
    assert policy.history.kept == 6 * 24


class Ends:
    """A loop that ends as it is told."""

    def __init__(self, end: Callable[[], None] | None) -> None:
        self._end = end
        self.cancelled = False

    async def run(self) -> None:
        if self._end is not None:
            self._end()
        try:
            await asyncio.sleep(60.0)
        except asyncio.CancelledError:
            self.cancelled = True
            raise


def fail() -> None:
    raise TimeoutError("node edge-0 gave no answer within 120 s")


@pytest.mark.parametrize("duration_s", [None, 30.0])
def test_a_loop_that_ends_by_a_timeout_of_a_node_is_not_taken_for_one_whose_time_is_over(
    duration_s: float | None,
) -> None:
    """It ended in silence with exit code 0: both are a `TimeoutError`."""
    loop: Any = Ends(fail)
    with pytest.raises(TimeoutError, match="edge-0"):
        asyncio.run(_for(loop.run, duration_s))


def test_a_loop_whose_time_is_over_is_ended() -> None:
    loop: Any = Ends(None)
    asyncio.run(_for(loop.run, 0.05))
    assert loop.cancelled


def test_a_log_does_not_choose_what_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wrote the log may have put a module beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beside.py").write_text(
        "open('ran', 'w').close()\n\ndef own(problem, options):\n    return {'c': ['x']}\n"
    )
    log = tmp_path / "decisions.jsonl"
    write_log(log)
    log.write_text(log.read_text().replace('"policy":"certified"', '"policy":"beside:own"'))
    done = CliRunner().invoke(app, ["decide", "--from", str(log)])
    assert isinstance(done.exception, InputError)
    assert "by the function beside:own; if it is yours, say --policy beside:own" in str(
        done.exception
    )
    assert not (tmp_path / "ran").exists()
    CliRunner().invoke(app, ["decide", "--from", str(log), "--policy", "beside:own"])
    assert (tmp_path / "ran").exists()


def test_a_decision_is_told_with_the_time_at_which_it_was_made() -> None:
    report = look_report(0.1, 10, "the load has changed")
    assert report.look.made is not None
    assert (report.look.at_s, report.look.made.took_s) == (1.0, 0.2)
    told = look_words(report, dry_run=True)
    assert told.split()[:3] == ["1.2", "s", "10.1"]
    assert "would change" in told
