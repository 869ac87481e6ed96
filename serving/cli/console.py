"""What a verb says: text and progress for people, one JSON object for programs, exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

__all__ = ["ExitCode", "VerbOutput"]

Advance = Callable[..., None]
LOG_WIDTH = 120


class ExitCode(IntEnum):
    """What the exit status of `testbed` means."""

    OK = 0
    FAILED = 1
    """the system did not do what was asked (cluster, node, run)"""
    BAD_INPUT = 2
    """a file, option or name was wrong; nothing was touched"""
    NOT_MET = 3
    """all ran, but the result misses what was asked of it (plan infeasible, promise broken)"""


class VerbOutput:
    """With `as_json`, everything for people goes to stderr and stdout gets one JSON object."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self._people = Console(stderr=as_json, highlight=False, soft_wrap=True)
        if not self._people.is_terminal:  # a log file has no width; tables need some
            self._people.width = LOG_WIDTH

    def say(self, words: str) -> None:
        """A line for people."""
        self._people.print(words)

    def write(self, text: Text) -> None:
        """A line for people in which nothing is markup."""
        self._people.print(text)

    def table(self, table: Table) -> None:
        """A table for people."""
        self._people.print(table)

    def result(self, data: dict[str, Any]) -> None:
        """The verb's result, printed only for programs."""
        if self.as_json:
            print(json.dumps(data))

    @contextmanager
    def progress(self, what: str) -> Iterator[Advance]:
        """A bar; yields `advance(done, total, words="")`."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[words]}"),
        )
        with Progress(*columns, console=self._people, transient=False) as bar:
            task = bar.add_task(what, total=None, words="")

            def advance(done: int, total: int, words: str = "") -> None:
                bar.update(task, completed=done, total=total, words=words)

            yield advance

    @contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """A spinner for a step of unknown length."""
        if self._people.is_terminal:
            with self._people.status(what):
                yield
        else:
            self._people.print(what)
            yield
