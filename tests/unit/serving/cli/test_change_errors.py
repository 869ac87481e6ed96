"""A change of plan that is refused or undone ends the command with one line and exit code 1."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.cli.console import ExitCode
from serving.cli.exits import exit_code_of
from serving.errors import (
    LeaseHeldError,
    PlanChangeConflictError,
    PlanChangeError,
    ServingError,
)


@pytest.mark.parametrize(
    "error",
    [
        PlanChangeConflictError("another change of plan is under way: a. Nothing was touched"),
        PlanChangeError("the change of plan broke off: b. The nodes are back on the plan before"),
        LeaseHeldError("live-loop", "testbed live (process 7)", 4.0),
    ],
)
def test_it_is_one_line_and_the_systems_failure(
    error: ServingError,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path))
    assert exit_code_of(fail) == ExitCode.FAILED
    assert capsys.readouterr().err == f"testbed: {error}\n"
