"""Traces of the artifact of Proteus (ASPLOS 2024), from a user's own clone, as CSVs for `replay`.

A folder of it, for example `traces/twitter/asplos/zipf_exponential/300`, has a file for each
application, `bert.txt`, with a line for each request:

    114,1,300        at 114 ms, of service level 1, to be answered within 300 ms

The last two may be left out, and lines that begin with `#` are comments. Axis: n arrival.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cluster.document import DocumentError

__all__ = ["ProteusTrace", "read_proteus_folder"]

FOLDERS_NAMED = 3
"""in a message, of those that have traces"""


@dataclass(frozen=True, slots=True, eq=False)
class ProteusTrace:
    """The requests for one application."""

    application: str
    times_s_n: NDArray[np.float64]
    """never falling"""

    @property
    def duration_s(self) -> float:
        """From the first request to the last."""
        return float(self.times_s_n[-1] - self.times_s_n[0])

    def save(self, path: Path) -> Path:
        """Write a CSV with the column `t_s`, which `kind: replay` reads; returns the path."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["t_s"])
            writer.writerows([f"{time_s:.3f}"] for time_s in self.times_s_n)
        return path


def read_proteus_folder(folder: Path) -> tuple[ProteusTrace, ...]:
    """Every `*.txt` directly in `folder`, by name.

    Raises `DocumentError`, in one line, for a folder without any (it names some below that have)
    and, with file and line, for a time that is negative or no number and for a file without lines.
    """
    if not folder.is_dir():
        raise DocumentError(f"{folder}: no such folder; name one of traces in a clone of Proteus")
    files = sorted(folder.glob("*.txt"))
    if not files:
        below = sorted({str(path.parent) for path in (folder / "traces").rglob("*.txt")})
        hint = f"; below it are {', '.join(below[:FOLDERS_NAMED])}" if below else ""
        raise DocumentError(f"{folder}: it has no trace, *.txt{hint}")
    return tuple(_read(path) for path in files)


def _read(path: Path) -> ProteusTrace:
    times_ms: list[float] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DocumentError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise DocumentError(f"{path}: not a text of UTF-8: {error}") from None
    for number, line in enumerate(lines, 1):
        words = line.strip()
        if words and not words.startswith("#"):
            times_ms.append(_milliseconds(path, number, words.split(",")[0]))
    if not times_ms:
        raise DocumentError(f"{path}: it has no request")
    return ProteusTrace(path.stem, np.sort(np.array(times_ms)) / 1000)


def _milliseconds(path: Path, number: int, word: str) -> float:
    try:
        time_ms = float(word)
    except ValueError:
        time_ms = -1.0
    if not 0 <= time_ms < float("inf"):
        raise DocumentError(f"{path}: line {number}: {word!r} is no time in milliseconds from 0")
    return time_ms
