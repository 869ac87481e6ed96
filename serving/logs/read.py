"""Reading logs: the lines of several nodes in the order of their times, once or as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from pathlib import Path

from serving.logs.line import LogLine, decode_line

__all__ = ["LogFollower", "log_files_of", "read_lines"]

OVERLAP_S = 2.0
"""by so much a look reaches back behind the newest line that was seen: lines of other threads and
processes may reach their files a little after lines that are younger"""


def log_files_of(folder: Path, node: str) -> list[Path]:
    """The files of a node in `folder` that are there, oldest first."""
    names = (f"{node}{kind}" for kind in (".access.log.1", ".access.log", ".log.1", ".log"))
    return [path for name in names if (path := folder / name).exists()]


def read_lines(files: Iterable[Path], after_s: float = -inf) -> list[LogLine]:
    """The lines in `files` that are younger than `after_s` (seconds since 1970), oldest first.

    A file that went away, and whatever in one is no line, is passed over.
    """
    found = []
    for path in files:
        try:
            if path.stat().st_mtime < after_s:
                continue
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        lines = (decode_line(text) for text in content.splitlines())
        found += [line for line in lines if line is not None and line.at_s > after_s]
    return sorted(found, key=lambda line: line.at_s)


class LogFollower:
    """Gives each line of `source` once, however often it is asked. `source(after_s)` is read with
    an overlap, and lines that were given before are left out."""

    def __init__(self, source: Callable[[float], list[LogLine]]) -> None:
        self._source = source
        self._newest_s = -inf
        self._given: set[LogLine] = set()

    def look(self) -> list[LogLine]:
        """The lines that are new since the last look, oldest first."""
        lines = self._source(self._newest_s - OVERLAP_S)
        new = [line for line in lines if line not in self._given]
        self._newest_s = max([self._newest_s, *(line.at_s for line in lines)])
        since_s = self._newest_s - OVERLAP_S
        self._given = {line for line in lines if line.at_s > since_s}
        return new
