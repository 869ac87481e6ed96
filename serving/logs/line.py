"""One line of a log, and its form in a file: one JSON object on a line of its own.

JSON because a text may hold line breaks: a traceback stays one line of the log, and no name that a
caller chose can look like a line that a node wrote.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from enum import StrEnum

import orjson

__all__ = ["Level", "LogLine", "decode_line", "encode_line", "line_of"]

MAX_TEXT = 2_000
MAX_TRACE = 8_000
"""characters; of a longer traceback the end is kept, which names the error"""
_TRACES = logging.Formatter()


class Level(StrEnum):
    """How much a line matters; docs/logging.md says what is logged at which level."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def number(self) -> int:
        """The number by which `logging` orders levels."""
        return logging.getLevelNamesMapping()[self.name]


@dataclass(frozen=True, slots=True)
class LogLine:
    """What one node said at one moment."""

    at_s: float
    """seconds since 1970, on the clock of the node's host"""
    level: str
    """`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`"""
    node: str
    logger: str
    """the module that said it"""
    text: str
    trace: str = ""
    """the traceback, where there is one"""


def line_of(record: logging.LogRecord, process: str, ahead_s: float = 0.0) -> LogLine:
    """The line of a record; it is the node's that the record names, or else `process`'s.
    `ahead_s` is by how much that one's clock is ahead of the record's."""
    text = record.getMessage()
    trace = _TRACES.formatException(record.exc_info) if record.exc_info else ""
    return LogLine(
        at_s=round(record.created + ahead_s, 6),
        level=record.levelname,
        node=getattr(record, "node", "") or process,
        logger=record.name,
        text=text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}...",
        trace=trace if len(trace) <= MAX_TRACE else f"...{trace[-MAX_TRACE:]}",
    )


def encode_line(line: LogLine) -> str:
    """A line of a log file, without the line break behind it."""
    return orjson.dumps(asdict(line)).decode()


def decode_line(text: bytes) -> LogLine | None:
    """The line that `encode_line` wrote; None for anything else, such as a line cut in half."""
    try:
        fields = orjson.loads(text)
        return LogLine(float(fields.pop("at_s")), **{key: str(fields[key]) for key in fields})
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
