"""The spans of one query as rows of a tree, each below what it is part of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from serving.tracing.span_line import SpanLine

__all__ = ["SpanRow", "span_rows"]


class SpanRow(NamedTuple):
    """A span, its name set in by how deep it lies. Times in seconds."""

    name: str
    node: str
    after_s: float
    """from the beginning of the first span"""
    took_s: float
    words: str
    """what is known of it"""


def span_rows(spans: Sequence[SpanLine]) -> list[SpanRow]:
    """The rows, parts in order of time. Spans whose whole is missing, as that of a caller, stand at
    the top. Each node's spans are by its own host's clock."""
    known = {span.span_id for span in spans}
    parts: dict[str, list[SpanLine]] = {}
    for span in sorted(spans, key=lambda span: (span.start_s, -span.end_s)):
        parts.setdefault(span.parent_id if span.parent_id in known else "", []).append(span)
    begin_s = min((span.start_s for span in spans), default=0.0)

    def below(whole: str, depth: int) -> Iterator[SpanRow]:
        for span in parts.get(whole, ()):
            yield SpanRow(
                "  " * depth + span.name, span.node, span.start_s - begin_s,
                span.end_s - span.start_s, _words(span),
            )  # fmt: skip
            yield from below(span.span_id, depth + 1)

    return list(below("", 0))


def _words(span: SpanLine) -> str:
    told = [f"{name} {value}" for name, value in span.values.items() if name != "node"]
    for event in span.events:
        values = ", ".join(f"{name} {value}" for name, value in event.values.items())
        told.append(f"{event.name} ({values})")
    return "; ".join(told)
