"""Where ended spans go: a file of bounded size, or a collector (OTLP over HTTP)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from cluster.extras import import_extra
from cluster.private_folder import make_private
from serving.tracing.config import OTLP, TracingConfig, span_file
from serving.tracing.node_tracing import NodeTracing
from serving.tracing.span_line import SpanEvent, SpanLine

__all__ = ["SpanFile", "open_tracing"]

FILE_BYTES = 16 * 2**20
"""of a file before it is set aside; two of them are kept"""
EVERY_MS = 500
"""between two times that ended spans are handed on"""


class SpanFile(SpanExporter):
    """Appends spans to `path`, one a line, as JSON. A file that cannot be written loses its spans
    and nothing else: OpenTelemetry's own logger says so."""

    def __init__(self, path: Path, max_bytes: int = FILE_BYTES) -> None:
        make_private(path.parent)
        self._file = RotatingFileHandler(
            path, maxBytes=max_bytes, backupCount=1, encoding="utf-8", delay=True
        )
        self._file.setFormatter(logging.Formatter("%(message)s"))

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """opentelemetry: write ended spans."""
        for span in spans:
            text = _line_of(span).model_dump_json(exclude_defaults=True)
            self._file.emit(logging.LogRecord("span", logging.INFO, "", 0, text, None, None))
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """opentelemetry: close the file."""
        self._file.close()


def open_tracing(config: TracingConfig, node: str, log_folder: Path) -> NodeTracing:
    """The tracing of a node. Raises `InputError` without the extra that a collector needs."""
    exporter: SpanExporter
    if config.collector is None:
        exporter = SpanFile(span_file(log_folder, node))
    else:
        exporter = _to_collector(config.collector)
    processor = BatchSpanProcessor(exporter, schedule_delay_millis=EVERY_MS)
    return NodeTracing(node, config.share, processor)


def _to_collector(url: str) -> SpanExporter:
    module = import_extra(OTLP, "tracing", "--trace-to")
    exporter: SpanExporter = module.OTLPSpanExporter(endpoint=f"{url.rstrip('/')}/v1/traces")
    return exporter


def _line_of(span: ReadableSpan) -> SpanLine:
    context = span.get_span_context()
    assert context is not None
    return SpanLine(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_id="" if span.parent is None else f"{span.parent.span_id:016x}",
        node=str(span.resource.attributes["service.instance.id"]),
        name=span.name,
        start_s=(span.start_time or 0) / 1e9,
        end_s=(span.end_time or 0) / 1e9,
        values=_values(span.attributes),
        events=tuple(
            SpanEvent(name=event.name, at_s=event.timestamp / 1e9, values=_values(event.attributes))
            for event in span.events
        ),
        failed=not span.status.is_ok,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return dict(attributes or {})
