"""Verdicts on the command line: a table, what failed, and with --strict an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from serving.cli.console import ExitCode, VerbOutput
from serving.verdicts.in_words import doubts_in_words, failures_in_words, verdict_table
from serving.verdicts.verdict import Verdict, failed

__all__ = ["Strict", "end_strictly", "tell_verdicts"]

Strict = Annotated[
    bool, typer.Option("--strict", help="end with code 4 if a prediction does not hold")
]


def tell_verdicts(out: VerbOutput, verdicts: Sequence[Verdict]) -> None:
    """The table, and a line for each quantity that fails somewhere, or is unsure."""
    out.table(verdict_table(verdicts))
    for line in (*failures_in_words(verdicts), *doubts_in_words(verdicts)):
        out.say(line)


def end_strictly(verdicts: Sequence[Verdict], strict: bool) -> None:
    """End the command with `ExitCode.UNTRUE` if that was asked for and a prediction failed."""
    if strict and failed(verdicts):
        raise typer.Exit(ExitCode.UNTRUE)
