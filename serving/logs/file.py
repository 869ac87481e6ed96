"""Where the lines of a process go: files of bounded size that only their user can read.

Each node's process appends to a file of its own in the cluster's log folder, and keeps one full
file before it. Files outlive the process, so what a killed node said last can still be read; Ray's
own files are found only through its internals, and mix every replica's output with Serve's.
"""

from __future__ import annotations

import logging
import os
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path

from cluster.private_folder import make_private
from serving.logs.line import Level, encode_line, line_of
from serving.wall_clock import WallClock

__all__ = ["ACCESS", "LogFile", "OpenLog"]

LOG_BYTES = 2**20
"""of a file before it is set aside; two of them are kept"""
ACCESS = "serving.access"
"""the logger of requests at the doors. It has a file of its own, so that requests never push out
the lines that say what broke"""


class LogFile(WatchedFileHandler):
    """Appends records to `path` as JSON lines; `process` is the node of those that name none.

    The file is made, with mode 0600, when there is a first line. Several processes may write to it
    at once (a node and the one that replaces it): each reopens it when another has set it aside.
    A file that cannot be written costs its lines and nothing else; `lost` counts them, of all files
    of this process.
    """

    lost = 0

    def __init__(
        self,
        path: Path,
        process: str,
        max_bytes: int = LOG_BYTES,
        wall_clock: WallClock | None = None,
    ) -> None:
        super().__init__(path, encoding="utf-8", delay=True)
        self._process = process
        self._max_bytes = max_bytes
        self._wall_clock = wall_clock or WallClock()

    def format(self, record: logging.LogRecord) -> str:
        """The JSON of a record."""
        return encode_line(line_of(record, self._process, self._wall_clock.ahead_s))

    def emit(self, record: logging.LogRecord) -> None:
        """logging: write a record."""
        try:
            self._set_aside()
            super().emit(record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """logging: a record could not be written. The first time, standard error says why."""
        LogFile.lost += 1
        if LogFile.lost == 1:
            super().handleError(record)

    def _set_aside(self) -> None:
        try:
            if Path(self.baseFilename).stat().st_size >= self._max_bytes:
                Path(self.baseFilename).replace(f"{self.baseFilename}.1")
        except FileNotFoundError:
            return

    def _open(self) -> TextIOWrapper:
        path = Path(self.baseFilename)
        make_private(path.parent)
        return open(path, "a", encoding="utf-8", opener=_open_private)


class OpenLog:
    """The files `NAME.log` and `NAME.access.log` of this process in `folder`, until `close`.

    They take what the logger `above` and those below it say: by default the root, so that warnings
    of libraries are kept too. Of this project's own loggers everything from `level` on is taken.
    Lines have the times of `wall_clock`.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        level: Level = Level.INFO,
        above: str | None = None,
        wall_clock: WallClock | None = None,
    ) -> None:
        self._above = logging.getLogger(above)
        self._own = logging.getLogger("serving")
        self._former_level = self._own.level
        self._own.setLevel(level.number)
        events = LogFile(folder / f"{name}.log", name, wall_clock=wall_clock)
        events.addFilter(lambda record: record.name != ACCESS)
        requests = LogFile(folder / f"{name}.access.log", name, wall_clock=wall_clock)
        requests.addFilter(lambda record: record.name == ACCESS)
        self._files = (events, requests)
        for file in self._files:
            self._above.addHandler(file)

    def close(self) -> None:
        """Write no more, and leave the loggers as they were."""
        for file in self._files:
            self._above.removeHandler(file)
            file.close()
        self._own.setLevel(self._former_level)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
