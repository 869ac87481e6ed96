"""Reading logs: the lines of several nodes in the order of their times, once or as they come.

What is new is told by how far a file was read, and never by times: the clock that a node writes
them with may be set back or forward meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from serving.logs.line import LogLine, decode_line

__all__ = ["LogFollower", "Read", "ReadPage", "log_files_of", "read_on"]

Read = Mapping[int, int]
"""inode of a file -> how many bytes of it were read; a file keeps its inode when it is set aside"""


class ReadPage(NamedTuple):
    """Lines, oldest first, and how far their files were read with them."""

    lines: list[LogLine]
    read: dict[int, int]


def log_files_of(folder: Path, node: str) -> list[Path]:
    """The files of a node in `folder` that are there, oldest first."""
    names = (f"{node}{kind}" for kind in (".access.log.1", ".access.log", ".log.1", ".log"))
    return [path for name in names if (path := folder / name).exists()]


def read_on(files: Iterable[Path], read: Read) -> ReadPage:
    """The lines in `files` that were not `read` yet.

    A file that went away, and whatever in one is no line, is passed over. A line that is not
    written to its end is left for the next time.
    """
    found: list[LogLine] = []
    now: dict[int, int] = {}
    for path in files:
        try:
            with path.open("rb") as file:
                seen = os.fstat(file.fileno())
                begin = now.get(seen.st_ino, read.get(seen.st_ino, 0))
                if begin > seen.st_size:  # another file took the number of one that went away
                    begin = 0
                file.seek(begin)
                content = file.read()
        except FileNotFoundError:
            continue
        whole = content[: content.rfind(b"\n") + 1]
        now[seen.st_ino] = begin + len(whole)
        lines = (decode_line(text) for text in whole.splitlines())
        found += [line for line in lines if line is not None]
    return ReadPage(sorted(found, key=lambda line: line.at_s), now)


class LogFollower:
    """Gives each line of `files` once, however often it is asked, and whatever `ask` brings, which
    is to give each line once itself."""

    def __init__(
        self,
        files: Callable[[], Iterable[Path]],
        ask: Callable[[], Iterable[LogLine]] = lambda: (),
    ) -> None:
        self._files = files
        self._ask = ask
        self._read: Read = {}

    def look(self) -> list[LogLine]:
        """The lines that are new since the last look, oldest first."""
        lines, self._read = read_on(self._files(), self._read)
        return sorted([*lines, *self._ask()], key=lambda line: line.at_s)
