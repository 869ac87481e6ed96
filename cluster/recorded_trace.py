"""Recorded arrivals in a CSV file: the times of requests, or how many came in each period.

Axes: n = arrival, k = period.

The columns of these public traces are known: Azure's LLM inference traces (`TIMESTAMP`, or `t_s`),
Azure Functions (`end_timestamp` less `duration`), and Twitter counts by `second` or `minute` with
`requests`. Rows with `is_gap` 1 are holes of the recording; they are left out, and time closes up.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cluster.document import DocumentError

__all__ = ["RecordedTrace", "read_trace"]

TIME_COLUMNS = ("timestamp", "t_s", "time_s", "arrival_s", "time", "start_timestamp")
END_COLUMN, DURATION_COLUMN = "end_timestamp", "duration"
COUNT_COLUMNS = ("requests", "count", "counts", "tweets")
PERIOD_COLUMNS = {"second": 1.0, "second_of_day": 1.0, "minute": 60.0, "hour": 3600.0}
GAP_COLUMN = "is_gap"
MOST_PERIODS = 10_000_000
"""of a trace of counts, 115 days of seconds; more is a fault of the file"""
LARGEST_COUNT = 10**9


@dataclass(frozen=True, slots=True, eq=False)
class RecordedTrace:
    """What a file recorded. Either `times_s_n` or `counts_k` is there, the other is None."""

    file: str
    duration_s: float
    """of counts, all periods; of times, from the first arrival to the last"""
    total: int
    """recorded arrivals"""
    times_s_n: NDArray[np.float64] | None = None
    """seconds from the first arrival, never falling"""
    counts_k: NDArray[np.int64] | None = None
    period_s: float = 0.0

    @property
    def length_s(self) -> float:
        """After how long it begins again, if repeated: of times, a mean gap after the last one."""
        if self.times_s_n is None:
            return self.duration_s
        return self.duration_s * self.total / (self.total - 1) if self.duration_s > 0 else 1.0


def read_trace(
    path: Path,
    *,
    times: str | None = None,
    counts: str | None = None,
    period_s: float | None = None,
) -> RecordedTrace:
    """Read a CSV whose first line names the columns.

    `times` or `counts` names the column to read, `period_s` the length of a period of counts; left
    out, they are found by their names. Raises `DocumentError`, in one line with file and line, for
    a trace that is empty or goes backwards, and for a count or time that is negative or no number.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream)
            header = [name.strip().casefold() for name in next(rows, [])]
            if not header:
                raise DocumentError(f"{path}: the file is empty; its first line names the columns")
            found = _Columns.find(path, header, times, counts, period_s)
            return found.read(rows)
    except OSError as error:
        raise DocumentError(f"{path}: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DocumentError(f"{path}: not a CSV file of UTF-8: {error}") from None


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which column of the file is what, by position."""

    path: Path
    width: int
    time: int | None = None
    less: int | None = None
    """seconds to take from the time"""
    count: int | None = None
    period: int | None = None
    """numbers the periods; those left out have no arrivals"""
    gap: int | None = None
    period_s: float = 1.0

    @classmethod
    def find(
        cls,
        path: Path,
        header: Sequence[str],
        times: str | None,
        counts: str | None,
        period_s: float | None,
    ) -> _Columns:
        def position(*names: str) -> int | None:
            return next((header.index(name) for name in names if name in header), None)

        def named(name: str) -> int:
            if name.casefold() not in header:
                raise DocumentError(
                    f"{path}: line 1: no column {name!r}; columns: {', '.join(header)}"
                )
            return header.index(name.casefold())

        width, gap = len(header), position(GAP_COLUMN)
        if times is not None:
            return cls(path, width, time=named(times), gap=gap)
        numbered = next((name for name in PERIOD_COLUMNS if name in header), None)
        count = named(counts) if counts is not None else position(*COUNT_COLUMNS)
        if count is not None and (counts is not None or numbered is not None):
            known_s = PERIOD_COLUMNS.get(numbered or "")
            length_s = period_s if period_s is not None else known_s
            if length_s is None:
                raise DocumentError(
                    f"{path}: line 1: no column says how long a period is; state `period_s`"
                )
            # Another length than the column's name means: the rows follow one another.
            period = position(numbered) if numbered and length_s == known_s else None
            return cls(path, width, count=count, period=period, gap=gap, period_s=length_s)
        time = position(*TIME_COLUMNS)
        if time is not None:
            return cls(path, width, time=time, gap=gap)
        if END_COLUMN in header and DURATION_COLUMN in header:
            return cls(path, width, time=position(END_COLUMN), less=position(DURATION_COLUMN))
        raise DocumentError(
            f"{path}: line 1: no column of times or counts is known; name one of "
            f"{', '.join(header)} with `times` or `counts`"
        )

    def read(self, rows: Iterator[list[str]]) -> RecordedTrace:
        return self._read_times(rows) if self.time is not None else self._read_counts(rows)

    def _read_times(self, rows: Iterator[list[str]]) -> RecordedTrace:
        found: list[float] = []
        for line, row in self._kept(rows):
            at_s = self._seconds(row, line)
            # A log by end of service is in order of ends; its starts are sorted below.
            if self.less is None and found and at_s < found[-1]:
                raise self._fault(line, "the trace goes backwards; sort its rows by time")
            found.append(at_s)
        if not found:
            raise DocumentError(f"{self.path}: the trace is empty; it needs a row an arrival")
        times_s_n = np.sort(np.array(found))
        times_s_n -= times_s_n[0]
        return RecordedTrace(str(self.path), float(times_s_n[-1]), len(found), times_s_n=times_s_n)

    def _read_counts(self, rows: Iterator[list[str]]) -> RecordedTrace:
        assert self.count is not None
        numbers: list[int] = []
        found: list[int] = []
        left_out = 0
        last = None
        for line, row in self._rows(rows):
            number = self._whole(row[self.period], line) if self.period is not None else len(found)
            if self.period is not None and last is not None and number <= last:
                raise self._fault(line, "the trace goes backwards; sort its rows by time")
            last = number
            if self._is_gap(row):
                left_out += 1
                continue
            numbers.append(number - left_out if self.period is not None else number)
            found.append(self._whole(row[self.count], line))
            if numbers[-1] - numbers[0] >= MOST_PERIODS:
                raise self._fault(line, f"{numbers[-1] - numbers[0]} periods after the first one")
        if not sum(found):
            raise DocumentError(f"{self.path}: the trace is empty; none of its counts is above 0")
        counts_k = np.zeros(numbers[-1] - numbers[0] + 1, dtype=np.int64)
        counts_k[np.array(numbers) - numbers[0]] = found
        return RecordedTrace(
            str(self.path),
            len(counts_k) * self.period_s,
            int(counts_k.sum()),
            counts_k=counts_k,
            period_s=self.period_s,
        )

    def _rows(self, rows: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
        """Rows with their line; empty lines are passed over."""
        for line, row in enumerate(rows, start=2):
            if not row:
                continue
            if len(row) < self.width:
                raise self._fault(line, f"expected {self.width} columns, found {len(row)}")
            yield line, row

    def _kept(self, rows: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
        return ((line, row) for line, row in self._rows(rows) if not self._is_gap(row))

    def _is_gap(self, row: Sequence[str]) -> bool:
        return self.gap is not None and row[self.gap].strip().casefold() in ("1", "true")

    def _seconds(self, row: Sequence[str], line: int) -> float:
        assert self.time is not None
        at_s = self._moment(row[self.time].strip(), line)
        if self.less is not None:
            at_s -= self._number(row[self.less], line)
        return at_s

    def _moment(self, text: str, line: int) -> float:
        if "-" in text[1:] and ":" in text:
            try:
                # Azure writes seven digits of a second; Python reads all that there are.
                moment = datetime.fromisoformat(text)
            except ValueError:
                raise self._fault(line, f"{text!r} is no ISO 8601 time") from None
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        return self._number(text, line)

    def _number(self, text: str, line: int) -> float:
        try:
            value = float(text)
        except ValueError:
            raise self._fault(line, f"{text.strip()!r} is no number") from None
        if not math.isfinite(value):
            raise self._fault(line, f"{text.strip()!r} is no finite number")
        if value < 0:
            raise self._fault(line, f"{text.strip()} is negative")
        return value

    def _whole(self, text: str, line: int) -> int:
        value = self._number(text, line)
        if value != int(value):
            raise self._fault(line, f"{text.strip()} is no whole number")
        if value > LARGEST_COUNT:
            raise self._fault(line, f"{text.strip()} is too large")
        return int(value)

    def _fault(self, line: int, what: str) -> DocumentError:
        return DocumentError(f"{self.path}: line {line}: {what}")
