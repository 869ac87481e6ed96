"""A span as a line of a file, and the spans of one query found again in the files of all nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import Field, ValidationError

from cluster.document import FrozenModel
from serving.tracing.config import SPANS

__all__ = ["SpanEvent", "SpanLine", "read_trace"]


class SpanEvent(FrozenModel):
    """Something that happened within a span."""

    name: str
    at_s: float = Field(description="since 1970")
    values: Mapping[str, str | int | float | bool] = Field(default_factory=dict)


class SpanLine(FrozenModel):
    """A part of the way of one query, on one node."""

    trace_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    span_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    parent_id: str = Field(default="", pattern=r"^([0-9a-f]{16})?$")
    node: str
    name: str
    start_s: float = Field(description="since 1970")
    end_s: float
    values: Mapping[str, str | int | float | bool] = Field(default_factory=dict)
    events: tuple[SpanEvent, ...] = ()
    failed: bool = False


def read_trace(log_folder: Path, trace_id: str) -> tuple[SpanLine, ...]:
    """The spans of a query in the files below `log_folder`, in order of time. Lines that are torn
    or of another version are passed over: a node may be writing them."""
    found = [
        span
        for path in sorted((log_folder / SPANS).glob("*.jsonl*"))
        for span in _spans_in(path, trace_id)
    ]
    return tuple(sorted(found, key=lambda span: (span.start_s, -span.end_s)))


def _spans_in(path: Path, trace_id: str) -> Iterator[SpanLine]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if trace_id not in line:
                continue
            try:
                span = SpanLine.model_validate_json(line)
            except ValidationError:
                continue
            if span.trace_id == trace_id:
                yield span
