"""`testbed`: one verb a stage; each reads and writes files, so each can be run alone."""

from __future__ import annotations

import atexit
import os
import shlex
import sys
from collections.abc import Sequence
from functools import cache
from io import TextIOWrapper
from typing import Any

import typer

from cluster.providers.state import log_folder
from cluster.providers.time_limit import calls_abandoned
from serving.cli import (
    ask_verb,
    calibrate_verb,
    cluster_verbs,
    compare_verb,
    demo_verb,
    devices_verb,
    doctor_verb,
    experiment_verb,
    explain_verb,
    link_verbs,
    live_verbs,
    logs_verb,
    manifest_verbs,
    plan_verbs,
    problem_verbs,
    profile_verb,
    report_verb,
    run_verbs,
    runs_verb,
    scale_verb,
    simulate_verb,
    trace_verbs,
    train_verb,
    watch_verbs,
    zoo_verbs,
)
from serving.cli.console import results_apart
from serving.cli.exits import exit_code_of, leave
from serving.cli.run_work import COMMAND
from serving.logs.file import OpenLog
from serving.runs.find import release_names

__all__ = ["app", "main", "run"]

COMPLETING = "_TESTBED_COMPLETE"
"""set by the lines that `testbed --install-completion` adds to a shell's own"""

app = typer.Typer(
    name="testbed",
    help=__doc__,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)
for verb in (
    *cluster_verbs.VERBS,
    *profile_verb.VERBS,
    *calibrate_verb.VERBS,
    *logs_verb.VERBS,
    *plan_verbs.VERBS,
    *run_verbs.VERBS,
    *report_verb.VERBS,
    *runs_verb.VERBS,
    *ask_verb.VERBS,
    *explain_verb.VERBS,
    *compare_verb.VERBS,
    *simulate_verb.VERBS,
    *live_verbs.VERBS,
    *watch_verbs.VERBS,
    *demo_verb.VERBS,
    *doctor_verb.VERBS,
    *devices_verb.VERBS,
    *train_verb.VERBS,
    *experiment_verb.VERBS,
    *scale_verb.VERBS,
    *zoo_verbs.VERBS,
):
    app.command(name=verb.__name__)(verb)
# All that follows the node is the command's own, options too.
app.command(name="exec", context_settings={"ignore_unknown_options": True})(cluster_verbs.exec)
app.add_typer(problem_verbs.problems, name="problem")
app.add_typer(zoo_verbs.zoo, name="zoo")
app.add_typer(trace_verbs.traces, name="trace")
app.add_typer(link_verbs.links, name="link")
app.add_typer(link_verbs.net, name="net")
app.add_typer(manifest_verbs.manifests, name="manifests")


def main() -> None:
    """The command line of this process: runs it, and exits with the code that says how it ended."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a file's name need not be text
            stream.reconfigure(errors="backslashreplace")
    if COMPLETING in os.environ:  # a shell asks what could come next
        _command().main(prog_name="testbed")
    codes: list[int] = []

    @atexit.register  # called last, after what Ray and others have registered since
    def _end() -> None:
        if codes:
            leave(codes[0])

    codes.append(run(sys.argv[1:], ends_process=True))
    if calls_abandoned():  # Ray's own end would wait for a head that gives no answer
        leave(codes[0])
    sys.exit(codes[0])


def run(arguments: Sequence[str], *, ends_process: bool = False) -> int:
    """Run one command line, without the program's name, and return its exit code.

    A fault of input or system ends in one line on stderr (`serving.cli.exits`, which says what
    `ends_process` does).
    """
    COMMAND.set(shlex.join(["testbed", *arguments]))
    log = OpenLog(log_folder(), logs_verb.DRIVER, above="serving")  # makes no file without a line
    try:
        return exit_code_of(
            lambda: _invoke(arguments), as_json="--json" in arguments, ends_process=ends_process
        )
    finally:
        release_names()
        log.close()


def _invoke(arguments: Sequence[str]) -> None:
    command = _command()
    with results_apart(), command.make_context("testbed", list(arguments)) as context:
        command.invoke(context)


@cache
def _command() -> Any:
    """What typer makes of the verbs, on its own or on click's classes."""
    return typer.main.get_command(app)
