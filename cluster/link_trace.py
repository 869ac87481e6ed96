"""Recorded capacity of a link over time: a CSV of seconds and Mbit/s, or mahimahi's packet format.

Axes: k = step. The capacity is constant within a step, and begins again after the last one.

    t_s,capacity_mbit_s        or, a line a packet of 1500 bytes, milliseconds since the start:
    0.0,10.5                   0
    0.2,9.72                   3
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cluster.document import DocumentError

__all__ = ["LinkTrace", "read_link_trace"]

TIME_COLUMNS = ("t_s", "time_s", "seconds", "time")
CAPACITY_COLUMNS = ("capacity_mbit_s", "mbit_s", "mbit/s", "mbps")
NAME_COLUMN = "trace"
BYTES_PER_MBIT = 125_000.0
PACKET_BYTES = 1500
PACKET_STEP_MS = 10
"""packets of so long are told as one step: a query is many packets, and takes longer"""
MOST_STEPS = 1_000_000
REGULAR = 0.01
"""relative difference up to which two steps are as long as each other"""
MISSED = 1.5
"""of a usual step, in a trace whose rows are regular: a longer one lacks a row"""
LONGEST_STEP = 10.0
"""of the median step, in any trace"""


@dataclass(frozen=True, slots=True, eq=False)
class LinkTrace:
    """What a link can carry: `bytes_per_s_k[k]` from `starts_s_k[k]` on, and again every
    `length_s`.

    `starts_s_k` begins with 0 and rises; no capacity is negative, and some is above 0.
    """

    file: str
    starts_s_k: NDArray[np.float64]
    bytes_per_s_k: NDArray[np.float64]
    length_s: float
    mean_bytes_per_s: float = field(init=False)
    """over the whole length"""

    def __post_init__(self) -> None:
        carried = float(self.bytes_per_s_k @ np.diff(self.starts_s_k, append=self.length_s))
        object.__setattr__(self, "mean_bytes_per_s", carried / self.length_s)

    def capped(self, bytes_per_s: float) -> LinkTrace:
        """The same, of a link that never carries more than `bytes_per_s`."""
        capped_k = np.minimum(self.bytes_per_s_k, bytes_per_s)
        return LinkTrace(self.file, self.starts_s_k, capped_k, self.length_s)

    def scaled(self, factor: float) -> LinkTrace:
        """The same with `factor` times the capacity."""
        return LinkTrace(self.file, self.starts_s_k, self.bytes_per_s_k * factor, self.length_s)


def read_link_trace(path: Path, name: str | None = None) -> LinkTrace:
    """Read a trace. `name` is one of those that a CSV tells apart by its column `trace`.

    A last row of a CSV holds as long as the one before it (a single one, a second). A mahimahi
    trace ends with its last packet. Raises `DocumentError`, in one line with file and line, for one
    that is empty, goes backwards, lacks rows, has a negative capacity, or never carries anything.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = stream.read().splitlines()
    except OSError as error:
        raise DocumentError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise DocumentError(f"{path}: not a text of UTF-8: {error}") from None
    first = next((line.strip() for line in lines if line.strip()), "")
    if not first:
        raise DocumentError(f"{path}: the trace is empty")
    if first.lstrip("+-").isdigit():
        return _read_packets(path, lines, name)
    try:
        return _read_csv(path, lines, name)
    except csv.Error as error:
        raise DocumentError(f"{path}: not a CSV file: {error}") from None


def _read_packets(path: Path, lines: Sequence[str], name: str | None) -> LinkTrace:
    """Mahimahi's format: see the module's text."""
    if name is not None:
        raise DocumentError(f"{path}: holds one trace in mahimahi's format; leave out `name`")
    found: list[int] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        if not text.lstrip("+-").isdigit():
            raise _fault(path, number, f"expected milliseconds, a whole number, not {text[:40]!r}")
        at_ms = int(text)
        if at_ms < 0:
            raise _fault(path, number, f"{at_ms} ms is negative")
        if found and at_ms < found[-1]:
            raise _fault(path, number, f"the trace goes backwards, to {at_ms} after {found[-1]} ms")
        found.append(at_ms)
    length_ms = found[-1]
    if length_ms == 0:
        raise _fault(path, len(lines), "the trace lasts 0 ms; its last line says how long it is")
    if length_ms / PACKET_STEP_MS > MOST_STEPS:
        raise _fault(path, len(lines), f"{length_ms} ms is longer than a trace may be")
    steps = -(-length_ms // PACKET_STEP_MS)
    # A packet that leaves at t was on its way before t; the one at 0 in the first step.
    step_n = np.maximum(np.array(found) - 1, 0) // PACKET_STEP_MS
    packets_k = np.bincount(step_n, minlength=steps)
    starts_s_k = np.arange(steps, dtype=np.float64) * (PACKET_STEP_MS / 1000)
    length_s = length_ms / 1000
    return LinkTrace(
        str(path),
        starts_s_k,
        packets_k * PACKET_BYTES / np.diff(starts_s_k, append=length_s),
        length_s,
    )


def _read_csv(path: Path, lines: Sequence[str], name: str | None) -> LinkTrace:
    rows = csv.reader(lines)
    header = [column.strip().casefold() for column in next(rows)]
    time = _position(path, header, TIME_COLUMNS, "seconds")
    capacity = _position(path, header, CAPACITY_COLUMNS, "Mbit/s")
    named = header.index(NAME_COLUMN) if NAME_COLUMN in header else None
    if name is not None and named is None:
        raise _fault(path, 1, f"no column `{NAME_COLUMN}` tells traces apart; leave out `name`")
    numbers: list[int] = []
    times_s: list[float] = []
    mbit_s: list[float] = []
    seen: dict[str, None] = {}
    for row in rows:
        number = rows.line_num
        if not row:
            continue
        if len(row) < len(header):
            raise _fault(path, number, f"expected {len(header)} columns, found {len(row)}")
        if named is not None:
            own = row[named].strip()
            seen[own] = None
            if name is not None and own != name:
                continue
            if name is None and len(seen) > 1:
                raise _fault(path, number, f"`name` has to say which trace: {', '.join(seen)}, ...")
        at_s = _number(path, number, row[time], "time")
        if times_s and at_s <= times_s[-1]:
            raise _fault(path, number, f"the trace goes backwards, to {at_s:g} s after "
                         f"{times_s[-1]:g} s; sort its rows by time")  # fmt: skip
        numbers.append(number)
        times_s.append(at_s)
        mbit_s.append(_number(path, number, row[capacity], "capacity"))
        if len(times_s) > MOST_STEPS:
            raise _fault(path, number, f"more than {MOST_STEPS} rows")
    if not times_s:
        if name is not None and seen:
            raise DocumentError(f"{path}: no trace {name!r}; there are {', '.join(seen)}")
        raise DocumentError(f"{path}: the trace is empty; it needs a row a step")
    _refuse_gaps(path, numbers, times_s)
    if not any(mbit_s):
        raise _fault(
            path, numbers[-1], "no capacity up to here is above 0: nothing would ever pass"
        )
    starts_s_k = np.array(times_s) - times_s[0]
    last_s = float(starts_s_k[-1] - starts_s_k[-2]) if len(times_s) > 1 else 1.0
    return LinkTrace(
        str(path),
        starts_s_k,
        np.array(mbit_s) * BYTES_PER_MBIT,
        float(starts_s_k[-1]) + last_s,
    )


def _refuse_gaps(path: Path, numbers: Sequence[int], times_s: Sequence[float]) -> None:
    """A row that is missing would stretch the one before it, so it is refused: where most rows are
    as far apart as each other, each must be, and nowhere may one be that much longer than others.
    """
    if len(times_s) < 3:
        return
    steps_s = np.diff(times_s)
    usual_s = float(np.median(steps_s))
    regular = np.mean(np.abs(steps_s - usual_s) <= REGULAR * usual_s) > 0.5
    late = np.flatnonzero(steps_s > usual_s * (MISSED if regular else LONGEST_STEP))
    if late.size:
        k = int(late[0])
        raise _fault(
            path, numbers[k + 1],
            f"the trace has a gap of {steps_s[k]:g} s, from {times_s[k]:g} to "
            f"{times_s[k + 1]:g} s, where rows are {usual_s:g} s apart; add the missing rows",
        )  # fmt: skip


def _position(path: Path, header: Sequence[str], known: Sequence[str], unit: str) -> int:
    found = next((header.index(column) for column in known if column in header), None)
    if found is None:
        raise _fault(
            path, 1,
            f"no column of {unit}; expected {known[0]} (or {', '.join(known[1:])}) among "
            f"{', '.join(header)[:80]}",
        )  # fmt: skip
    return found


def _number(path: Path, number: int, text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise _fault(path, number, f"{what} {text.strip()[:40]!r} is no number") from None
    if not math.isfinite(value):
        raise _fault(path, number, f"{what} {text.strip()} is no finite number")
    if value < 0:
        raise _fault(path, number, f"{what} {text.strip()} is negative")
    return value


def _fault(path: Path, number: int, what: str) -> DocumentError:
    return DocumentError(f"{path}: line {number}: {what}")
