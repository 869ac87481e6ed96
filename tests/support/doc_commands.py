"""Every command of README and docs/, and what a test does about each (`doc_commands.yaml`)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import typer
import yaml

from serving.cli.main import app
from support.paths import ROOT

__all__ = ["DocCommand", "Handling", "documented", "handling", "parse_command"]

_BLOCK = re.compile(r"^```(?:sh|bash|console|shell)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class DocCommand:
    """One command as a page shows it."""

    page: str
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """The words in one line, comments and line breaks left out."""
        return " ".join(self.words)


@dataclass(frozen=True)
class Handling:
    """What becomes of a command beside being parsed."""

    run: tuple[str, ...]
    """without a cluster, one after the other in one folder"""
    cluster: tuple[str, ...]
    """on a cluster, by the slow test"""
    walked: dict[str, tuple[str, ...]]
    """page -> names of the tests that run all commands of it"""
    parsed: dict[str, str]
    """command -> why it is parsed, and not run"""


@cache
def documented() -> tuple[DocCommand, ...]:
    """In the order of the pages; both sides of `&&` are commands of their own."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return tuple(
        DocCommand(str(page.relative_to(ROOT)), tuple(words))
        for page in pages
        for block in _BLOCK.findall(page.read_text(encoding="utf-8"))
        for line in block.replace("\\\n", " ").splitlines()
        for words in _split(shlex.split(line.removeprefix("$ "), comments=True))
    )


def _split(words: Sequence[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "&&":
            parts.append([])
        else:
            parts[-1].append(word)
    return [part for part in parts if part]


@cache
def handling() -> Handling:
    """As the file says. Each reason stands above the commands that it is for."""
    data = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return Handling(
        tuple(data["run"]),
        tuple(data["cluster"]),
        {page: tuple(tests) for page, tests in data["walked"].items()},
        {command: why for why, commands in data["parsed"].items() for command in commands},
    )


def parse_command(words: Sequence[str]) -> None:
    """Parse a command line of `testbed` as the real one does, and run nothing of it. Raises what
    typer raises for a verb, option or value that there is not."""
    command = typer.main.get_command(app)
    context, arguments = None, list(words)
    name: str | None = "testbed"
    while True:
        context = command.make_context(name, arguments, parent=context)
        if not isinstance(command, typer.core.TyperGroup):
            return
        arguments = [*context._protected_args, *context.args]
        name, found, arguments = command.resolve_command(context, arguments)
        assert found is not None
        command = found
