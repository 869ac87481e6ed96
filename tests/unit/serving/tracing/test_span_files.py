"""Spans in files: written, found again by trace, bounded, and never in the way."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from cluster.errors import InputError
from serving.tracing.config import TracingConfig, span_file
from serving.tracing.exporters import SpanFile
from serving.tracing.node_tracing import NodeTracing
from serving.tracing.span_line import read_trace


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def dated(clock: Clock) -> int:
    """The date that the nodes' clock starts at, in nanoseconds."""
    return round((clock() - 95) * 1e9)


def write_query(folder: Path, node: str, clock: Clock, traceparent: str = "") -> str:
    """One query with a part; returns its header for the next node."""
    exporter = SpanFile(span_file(folder, node))
    tracing = NodeTracing(node, 1.0, SimpleSpanProcessor(exporter), clock, lambda: dated(clock))
    span = tracing.begin("query", traceparent, {"task": "depth"})
    assert span is not None
    clock.now_s += 1
    span.note("took another way", {"reason": "link_full"})
    span.add("queue", clock.now_s - 0.5, clock.now_s, {"model": "m"})
    told = span.traceparent
    span.end()
    tracing.close()
    return told


def test_the_spans_of_a_query_are_found_in_the_files_of_all_nodes(tmp_path: Path) -> None:
    clock = Clock()
    header = write_query(tmp_path, "client-0", clock)
    write_query(tmp_path, "client-0", clock)  # another query
    write_query(tmp_path, "edge-0", clock, header)
    trace_id = header.split("-")[1]
    spans = read_trace(tmp_path, trace_id)
    assert [(span.node, span.name) for span in spans] == [
        ("client-0", "query"), ("client-0", "queue"), ("edge-0", "query"), ("edge-0", "queue"),
    ]  # fmt: skip
    first = spans[0]
    assert (first.start_s, first.end_s) == (5.0, 6.0)
    assert first.values == {"task": "depth"}
    assert first.events[0].values == {"reason": "link_full"}
    assert spans[1].parent_id == first.span_id
    assert spans[2].parent_id == first.span_id


def test_torn_lines_are_passed_over(tmp_path: Path) -> None:
    header = write_query(tmp_path, "client-0", Clock())
    path = span_file(tmp_path, "client-0")
    trace_id = header.split("-")[1]
    with path.open("a") as file:
        file.write('{"trace_id": "' + trace_id + '", "span_')
    assert len(read_trace(tmp_path, trace_id)) == 2
    assert read_trace(tmp_path, "0" * 32) == ()


def test_a_file_of_spans_is_bounded(tmp_path: Path) -> None:
    exporter = SpanFile(tmp_path / "spans" / "n.jsonl", max_bytes=2_000)
    tracing = NodeTracing("n", 1.0, SimpleSpanProcessor(exporter))
    for _ in range(100):
        span = tracing.begin("query", "", {})
        assert span is not None
        span.end()
    tracing.close()
    sizes = [path.stat().st_size for path in (tmp_path / "spans").iterdir()]
    assert len(sizes) == 2
    assert sum(sizes) < 5_000


@pytest.mark.parametrize(
    ("share", "collector", "words"),
    [
        (1.5, None, "a share of queries from 0 to 1"),
        (0.1, "collector:4318", "the URL of an OTLP collector"),
        (0.1, "ftp://h", "the URL of an OTLP collector"),
    ],
)
def test_what_cannot_be_traced_is_refused(share: float, collector: str | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        TracingConfig(share, collector)
