"""What a verb says: text and progress for people, one JSON object for programs, exit codes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntEnum
from pathlib import Path
from typing import Any, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.errors import MarkupError
from rich.live import Live
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)  # fmt: skip
from rich.table import Table
from rich.text import Text

from cluster.errors import InputError
from serving.errors import UnfinishedError

__all__ = ["ExitCode", "VerbOutput", "forget_result", "result_told", "results_apart"]

Advance = Callable[..., None]
TABLE_WIDTH = 80
"""of tables in a file or pipe, which has no width of its own; every table fits it"""
_results: ContextVar[TextIO | None] = ContextVar("results", default=None)
_result_told: ContextVar[bool] = ContextVar("result_told", default=False)


def forget_result() -> None:
    """A command begins, which has told no result yet."""
    _result_told.set(False)


def result_told() -> bool:
    """Whether the command's result stands on stdout."""
    return _result_told.get()


@contextmanager
def results_apart() -> Iterator[None]:
    """Within it stdout belongs to the result of a verb that is asked for `--json`: what libraries
    print goes to stderr, such as Ray's warning of many processes."""
    stdout = sys.stdout
    token = _results.set(stdout)
    try:
        yield
    finally:
        _results.reset(token)
        sys.stdout = stdout


class ExitCode(IntEnum):
    """What the exit status of `testbed` means."""

    OK = 0
    FAILED = 1
    """the system did not do what was asked (cluster, node, run)"""
    BAD_INPUT = 2
    """a file, option or name was wrong, which was found before anything was changed"""
    NOT_MET = 3
    """all ran, but the result misses what was asked of it (plan infeasible, promise broken)"""
    UNTRUE = 4
    """with --strict: a prediction did not hold"""


class _Console(Console):
    """A console that leaves it to `serving.cli.exits` how a command ends."""

    def on_broken_pipe(self) -> None:
        """rich: nobody reads the output any more."""
        raise BrokenPipeError


class VerbOutput:
    """With `as_json`, everything for people goes to stderr and stdout gets one JSON object."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        if as_json and _results.get() is not None:
            sys.stdout = sys.stderr
        self._people = _Console(stderr=as_json, highlight=False, soft_wrap=True)
        if not self._people.is_terminal and "COLUMNS" not in os.environ:
            self._people.width = TABLE_WIDTH

    @property
    def is_terminal(self) -> bool:
        """Whether people look at a terminal that can show colours."""
        return self._people.is_terminal

    def say(self, words: str) -> None:
        """A line for people, in rich's markup; plain if a name in it is no markup: `[/]`."""
        try:
            self._people.print(words)
        except MarkupError:
            self._people.print(words, markup=False)

    def wrote(self, *paths: Path | str) -> None:
        """Say which files a verb has written."""
        self.write(Text(f"wrote {' and '.join(map(str, paths))}"))

    def write(self, text: Text) -> None:
        """A line for people in which nothing is markup."""
        self._people.print(text)

    def table(self, table: Table) -> None:
        """A table for people. What does not fit goes on in the next line: a name that was cut could
        not be typed. No lines between columns, which would take a third of 80 columns."""
        table.box, table.show_edge, table.padding = SIMPLE_HEAD, False, (0, 1, 0, 0)
        for column in table.columns:
            column.overflow = "fold"
        self._people.print(table)

    def tables(self, *tables: Table) -> None:
        """Tables below each other, where one would be too wide."""
        for table in tables:
            self.table(table)

    def frame(self, shown: RenderableType) -> None:
        """Something drawn for people."""
        self._people.print(shown)

    @contextmanager
    def frames(self) -> Iterator[Callable[[RenderableType], None]]:
        """Drawings one over the other, on a terminal; yields what draws the next one."""
        with Live(console=self._people, auto_refresh=False, vertical_overflow="crop") as live:

            def write(shown: RenderableType) -> None:
                live.update(shown, refresh=True)

            yield write

    def result(self, data: dict[str, Any]) -> None:
        """The verb's result, printed only for programs."""
        if self.as_json:
            self.line_for_programs(json.dumps(data))
            _result_told.set(True)

    def line_for_programs(self, line: str) -> None:
        """A line on stdout, at once."""
        print(line, file=_results.get() or sys.stdout, flush=True)

    @contextmanager
    def progress(self, what: str, *, changes: bool = False) -> Iterator[Advance]:
        """A bar; yields `advance(done, total, words="")`. `changes` as of `busy`."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            _Count(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[words]}"),
        )
        with _no_input_faults(changes), Progress(*columns, console=self._people) as bar:
            task = bar.add_task(what, total=None, words="")

            def advance(done: int, total: int, words: str = "") -> None:
                bar.update(task, completed=done, total=total, words=words)

            yield advance

    @contextmanager
    def busy(self, what: str, *, changes: bool = False) -> Iterator[None]:
        """A spinner for a step of unknown length.

        With `changes` the step changes the running system. An `InputError` in it is raised as an
        `UnfinishedError`, since exit code 2 says that nothing was touched.
        """
        with _no_input_faults(changes):
            if self._people.is_terminal:
                with self._people.status(what):
                    yield
            else:
                self.say(what)
                yield


class _Count(ProgressColumn):
    """How much is done of how much; nothing while that is not known, or there is nothing to do."""

    def render(self, task: Task) -> Text:
        return Text("" if task.total is None else f"{task.completed:.0f}/{task.total:.0f}")


@contextmanager
def _no_input_faults(changes: bool) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        if not changes:
            raise
        raise UnfinishedError(f"{error}; see what is in force with `testbed status`") from error
