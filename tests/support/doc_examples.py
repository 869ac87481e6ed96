"""Code and commands of a page, by the comment that stands above each block."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

__all__ = ["commands_in", "example"]


def example(page: Path, name: str) -> str:
    """The block below `<!-- example: NAME -->`. Raises `AssertionError` if there is none."""
    found = re.search(
        rf"<!-- example: {re.escape(name)} -->\n```\w+\n(.*?)```",
        page.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert found, f"{page.name} has no example {name!r}"
    return found[1]


def commands_in(page: Path, name: str) -> list[list[str]]:
    """The commands of a block, without the program's name."""
    lines = (shlex.split(line, comments=True) for line in example(page, name).splitlines())
    commands = [words for words in lines if words]
    assert all(words[0] == "testbed" for words in commands)
    return [words[1:] for words in commands]
